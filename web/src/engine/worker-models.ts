/** @file Models that are open in the worker, and their samplers. */

import {
  type AcditConfig,
  ArgumentError,
  createSampler,
  type Device,
  openBlob,
  openFiles,
  requireMemory,
  type SampleEvent,
  type SampleRequest,
  type Sampler,
  type StoredModel,
  weightSource,
} from '../../../src/browser/index.ts';
import { withTunedSolver } from '../../../src/browser/tuned-solver.ts';
import type { TunedSolver } from '../../../src/diffusion/tuned-solver.ts';
import { withArLength } from '../model/ar-lengths.ts';
import { blockConfig, tensorOf } from '../model/values.ts';
import type { Order, Progress } from './engine.ts';
import type { DeviceChoice, ModelPlace, OpenCall, OpenedModel, SampleCall } from './protocol.ts';

/** Samplers that are kept; each holds a copy of its model's weights. */
const KEPT = 3;

type OpenDevice = (choice: DeviceChoice) => Promise<Device>;

export function createModels(openDevice: OpenDevice) {
  const files = createModelFiles();
  const samplers = new Map<string, Sampler>();

  async function samplerFor(
    { model, arLength }: Order,
    choice: DeviceChoice,
    signal: AbortSignal,
  ): Promise<{ sampler: Sampler; device: Device }> {
    const device = await openDevice(choice);
    const key = `${model} ${arLength ?? ''} ${device.name}`;
    const known = samplers.get(key);
    if (known) return { sampler: known, device };
    const open = await files.open(model, signal);
    const config = withArLength(open.config, arLength);
    requireMemory(config);
    const sampler = await createSampler({ config, weights: weightSource(open), device, signal });
    samplers.set(key, sampler);
    for (const [oldest, { dispose }] of [...samplers].slice(0, -KEPT)) {
      samplers.delete(oldest);
      await dispose();
    }
    return { sampler, device };
  }

  return {
    /** Remembers where a model is; reads the configuration of the user's own files at once. */
    async open({ id, place }: OpenCall, signal: AbortSignal): Promise<OpenedModel[]> {
      files.add(id, place);
      if (place.kind === 'urls') return [];
      const { config } = await files.open(id, signal);
      const bytes = requireMemory(config);
      const solver = await files.tunedSolver(id, signal);
      return [{ kind: 'model', config, fastSteps: solver?.defaultSteps, bytes }];
    },

    async *sample({ order, device: choice }: SampleCall, signal: AbortSignal): AsyncGenerator<Progress> {
      yield { kind: 'loading' };
      const { sampler, device } = await samplerFor(order, choice, signal);
      yield { kind: 'started', device: deviceName(device, sampler) };
      const tuned = order.preset === 'fast' ? await files.tunedSolver(order.model, signal) : undefined;
      const request = { ...requestOf(sampler.config, order, signal), ...(tuned && { tuned }) };
      const start = performance.now();
      for await (const event of sampler.sample(request)) {
        yield progressOf(event, start);
      }
    },
  };
}

/** The files of models by their ids, each opened when it is first needed. */
function createModelFiles() {
  const places = new Map<string, ModelPlace>();
  const stored = new Map<string, StoredModel>();
  const solvers = new Map<string, TunedSolver>();

  async function open(id: string, signal: AbortSignal): Promise<StoredModel> {
    const place = places.get(id);
    if (!place) throw new ArgumentError(`there is no model '${id}' here; open it again`);
    const model = stored.get(id) ?? (await openPlace(place, signal));
    stored.set(id, model);
    return model;
  }

  return {
    add: (id: string, place: ModelPlace) => places.set(id, place),
    open,
    /** Returns the solver that was fitted to a model, if there is one; it is compared with the weights once. */
    async tunedSolver(id: string, signal: AbortSignal): Promise<TunedSolver | undefined> {
      const solver = solvers.get(id) ?? (await (await open(id, signal)).tunedSolver?.(signal));
      if (solver) solvers.set(id, solver);
      return solver;
    },
  };
}

/** @param start when sampling began, in milliseconds. */
function progressOf(event: SampleEvent, start: number): Progress {
  switch (event.kind) {
    case 'step':
      return {
        kind: 'step',
        block: event.block,
        step: event.step,
        clean: event.clean.data,
        ...(event.together && { together: true }),
      };
    case 'block':
      return { kind: 'block', block: event.block, given: event.given ?? false, values: event.latents.data };
    case 'done':
      return { kind: 'done', seconds: (performance.now() - start) / 1000 };
  }
}

/** @param sampler which uses WebAssembly with one thread if the GPU computes wrongly */
function deviceName({ name, threads }: Device, sampler: Sampler): string {
  if (sampler.device !== name) return 'WebAssembly, since WebGPU computes wrongly here';
  if (name === 'webgpu') return 'WebGPU';
  return threads > 1 ? `WebAssembly, ${threads} threads` : 'WebAssembly';
}

function requestOf(config: AcditConfig, order: Order, signal: AbortSignal): SampleRequest {
  const { label, preset, steps, timesteps, cfg, seed, blocks, given } = order;
  return {
    labels: [label],
    steps,
    seed,
    signal,
    ...(preset !== undefined && { preset }),
    ...(cfg !== undefined && { cfg }),
    ...(timesteps !== undefined && { timesteps }),
    ...(blocks !== undefined && { blocks }),
    ...(given && given.length > 0 && { given: tensorOf(blockConfig(config, given), given) }),
  };
}

async function openPlace(place: ModelPlace, signal: AbortSignal): Promise<StoredModel> {
  if (place.kind === 'files') return openFiles(place.files);
  const { weights, configText, solver } = place;
  const model = await openBlob(await fetchWhole(weights, signal), 'model.safetensors', configText);
  if (solver === undefined) return model;
  return withTunedSolver(model, async () => (await fetchWhole(solver)).text(), 'solver.json');
}

/** Fetches a file as a whole, so that the service worker can keep it. */
async function fetchWhole(address: string, signal?: AbortSignal): Promise<Blob> {
  const answer = await fetch(address, { signal: signal ?? null });
  if (!answer.ok) throw new ArgumentError(`the model cannot be fetched: status ${answer.status}`);
  return answer.blob();
}
