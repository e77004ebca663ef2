/** @file Models that are open in the worker, and their samplers. */

import {
  type AcditConfig,
  ArgumentError,
  createSampler,
  type Device,
  openBlob,
  openFiles,
  requireMemory,
  type SampleRequest,
  type Sampler,
  type StoredModel,
  weightSource,
} from '../../../src/browser/index.ts';
import { withArLength } from '../model/ar-lengths.ts';
import { blockConfig, tensorOf } from '../model/values.ts';
import type { Order, Progress } from './engine.ts';
import type { DeviceChoice, ModelPlace, OpenCall, SampleCall } from './protocol.ts';

/** Samplers that are kept: each holds a copy of its model's weights. */
const KEPT = 3;

type OpenDevice = (choice: DeviceChoice) => Promise<Device>;

export function createModels(openDevice: OpenDevice) {
  const places = new Map<string, ModelPlace>();
  const stored = new Map<string, StoredModel>();
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
    const open = await openStored(model, signal);
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

  async function openStored(model: string, signal: AbortSignal): Promise<StoredModel> {
    const place = places.get(model);
    if (!place) throw new ArgumentError(`there is no model '${model}' here; open it again`);
    const known = stored.get(model) ?? (await openPlace(place, signal));
    stored.set(model, known);
    return known;
  }

  return {
    /** Remember where a model is, after a look at the part of it that says what it is. */
    async *open({ id, place }: OpenCall, signal: AbortSignal) {
      places.set(id, place);
      if (place.kind === 'urls') return;
      const { config } = await openStored(id, signal);
      yield { kind: 'model' as const, config, bytes: requireMemory(config) };
    },

    async *sample({ order, device: choice }: SampleCall, signal: AbortSignal): AsyncGenerator<Progress> {
      yield { kind: 'loading' };
      const { sampler, device } = await samplerFor(order, choice, signal);
      yield { kind: 'started', device: deviceName(device) };
      const start = performance.now();
      for await (const event of sampler.sample(requestOf(sampler.config, order, signal))) {
        if (event.kind === 'step') {
          const { block, step, clean } = event;
          yield { kind: 'step', block, step, clean: clean.data };
        } else if (event.kind === 'block') {
          const { block, given = false, latents } = event;
          yield { kind: 'block', block, given, values: latents.data };
        } else {
          yield { kind: 'done', seconds: (performance.now() - start) / 1000 };
        }
      }
    },
  };
}

function deviceName({ name, threads }: Device): string {
  if (name === 'webgpu') return 'WebGPU';
  return threads > 1 ? `WebAssembly, ${threads} threads` : 'WebAssembly';
}

function requestOf(config: AcditConfig, order: Order, signal: AbortSignal): SampleRequest {
  const { label, steps, cfg, seed, blocks, given } = order;
  return {
    labels: [label],
    steps,
    cfg,
    seed,
    signal,
    ...(blocks !== undefined && { blocks }),
    ...(given && given.length > 0 && { given: tensorOf(blockConfig(config, given), given) }),
  };
}

async function openPlace(place: ModelPlace, signal: AbortSignal): Promise<StoredModel> {
  if (place.kind === 'files') return openFiles(place.files);
  // As a whole, so that the service worker can keep it.
  const answer = await fetch(place.weights, { signal });
  if (!answer.ok) throw new ArgumentError(`the model cannot be fetched: status ${answer.status}`);
  return openBlob(await answer.blob(), 'model.safetensors', place.configText);
}
