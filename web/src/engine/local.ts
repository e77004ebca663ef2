/** @file Sampling in the browser itself, in a worker. */

import type { Image } from '../../../src/media/pixels.ts';
import { connect, onDemand, type Remote, webWorkerPort } from '../../../src/remote/index.ts';
import type { AutoencoderCard } from '../model/autoencoders.ts';
import { type BundledModel, bundledModels } from './bundled.ts';
import type { Engine, ModelCard, Order, Progress } from './engine.ts';
import type {
  DecodeCall,
  DeviceChoice,
  OpenCall,
  TrainCall,
  TrainProgress,
  VideoCall,
  WorkerCalls,
} from './protocol.ts';

/** What files turned out to be. */
export interface Added {
  readonly model?: ModelCard;
  readonly autoencoder?: AutoencoderCard;
}

/** The browser as an engine, and what no server does. */
export interface LocalEngine extends Engine {
  readonly kind: 'local';
  /** Adds a model, an autoencoder or both. @throws {Error} if the files are neither, or do not fit in memory. */
  add(files: readonly File[]): Promise<Added>;
  /** Decodes all blocks of `config`, to an image per frame. */
  decode(call: Omit<DecodeCall, 'device'>, signal: AbortSignal): Promise<readonly Image[]>;
  train(call: Omit<TrainCall, 'device'>, signal: AbortSignal): AsyncIterable<TrainProgress>;
  video(call: VideoCall): Promise<Blob>;
}

/** @param device returns the device for the next call. */
export function createLocalEngine(device: () => DeviceChoice): LocalEngine {
  const worker = onDemand(startWorker);
  const bundled = bundledModels();
  const own: ModelCard[] = [];
  let added = 0;

  return {
    kind: 'local',
    models: async () => [...bundled.map(({ card }) => card), ...own],

    async *sample(order: Order, signal: AbortSignal): AsyncGenerator<Progress> {
      const remote = await worker.get();
      const known = bundled.find(({ card }) => card.id === order.model);
      if (known) await remote.call('open', placeOf(known));
      yield* remote.stream('sample', { order, device: device() }, { signal });
    },

    async add(files) {
      const title = nameOf(files);
      const id = `yours-${++added}-${title}`;
      let result: Added = {};
      const remote = await worker.get();
      for (const opened of await remote.call('open', { id, place: { kind: 'files', files } })) {
        if (opened.kind === 'autoencoder') {
          const { config, fingerprint } = opened;
          result = { ...result, autoencoder: { id, title, config, fingerprint } };
        } else {
          const { config, fastSteps } = opened;
          const fast = fastSteps !== undefined && { fastSteps };
          const model: ModelCard = { id, title, source: 'yours', config, ...fast };
          own.push(model);
          result = { ...result, model };
        }
      }
      return result;
    },

    async decode(given, signal) {
      const remote = await worker.get();
      return remote.call('decode', { ...given, device: device() }, { signal });
    },

    // Moving the tensors of a model this small to the GPU and back takes longer than computing with them.
    async *train(given, signal) {
      const remote = await worker.get();
      const asked = device();
      yield* remote.stream('train', { ...given, device: asked === 'auto' ? 'wasm' : asked }, { signal });
    },

    async video(given) {
      return (await worker.get()).call('video', given);
    },
  };
}

/** Starts the worker: at the first call, so that the first paint does not wait for it. */
function startWorker(): Remote<WorkerCalls> {
  return connect(
    webWorkerPort(
      new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'acdit' }),
      'the worker',
    ),
  );
}

/** Returns the call that opens a bundled model in the worker. */
function placeOf({ card, weights, solver }: BundledModel): OpenCall {
  return { id: card.id, place: { kind: 'urls', weights, solver, configText: JSON.stringify(card.config) } };
}

/** Names a model by its folder or, without one, by its weights' file. */
function nameOf(files: readonly File[]): string {
  const weights = files.find(({ name }) => /\.(safetensors|pt|pth|bin)$/i.test(name)) ?? files[0];
  const folder = weights?.webkitRelativePath.split('/').at(-2);
  return folder || (weights?.name.replace(/\.\w+$/, '') ?? 'model');
}
