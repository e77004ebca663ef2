/** @file The program of the process that samples from one model. See process-sampler.ts. */

import { openModel, weightSource } from '../checkpoints/load.ts';
import { findTunedSolver } from '../checkpoints/tuned-solver.ts';
import { CheckpointError } from '../errors.ts';
import { streamOf } from '../remote/channel.ts';
import { serveChild } from '../remote/node.ts';
import { requireMemory } from '../runtime/machine.ts';
import { openAccelerator, openCpu } from '../runtime/node.ts';
import { samplingMemory } from './memory.ts';
import type { PassInfo } from './noise-predictor.ts';
import { defaultPrecision, deviceKind } from './precision.ts';
import type { SamplingCalls } from './process-sampler.ts';
import { createSampler, type Sampler } from './sampler.ts';

let sampler: Sampler | undefined;
let onPass: ((pass: PassInfo) => void) | undefined;

serveChild<SamplingCalls>({
  async open({ model: path, open, device = 'cpu', precision, threads, groups, version: expected }) {
    const model = await openModel(path, open);
    const { config } = model;
    const version = JSON.stringify([config, model.archive.files?.map(({ identity }) => identity)]);
    if (expected !== undefined && version !== expected) {
      await model.archive.close();
      throw new CheckpointError(`${path}: the model has changed since it was opened; start again to use it`);
    }
    const warnings: string[] = [];
    const tuned = await findTunedSolver(model);
    sampler = await createSampler({
      config,
      weights: weightSource(model),
      tuned,
      device: device === 'cpu' ? openCpu({ threads }) : await openAccelerator(device, { threads }),
      precision: precision ?? defaultPrecision(deviceKind(device), model.precision),
      batching: { groups, onPass: (pass) => onPass?.(pass) },
      onFallback({ message, device: next, precision: nextPrecision }) {
        warnings.push(message);
        if (next.separateMemory) return;
        const { total } = samplingMemory(config, 1, { guided: true, steps: 1, precision: nextPrecision });
        requireMemory(total, message, 'use a smaller model');
      },
    });
    return {
      config,
      ...(tuned && { tuned }),
      device: sampler.device,
      precision: sampler.precision,
      int8Share: sampler.int8Share,
      version,
      warnings,
    };
  },
  passes: (_, signal) =>
    streamOf((push) => {
      onPass = push;
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    }),
  sample(request, signal) {
    if (!sampler) throw new Error('the sampling process got a request before its settings');
    return sampler.sample({ ...request, signal });
  },
});
