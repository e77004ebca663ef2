/** @file Sampling in the browser itself, in a worker. */

import type { Image } from '../../../src/media/pixels.ts';
import type { AutoencoderCard } from '../model/autoencoders.ts';
import { type BundledModel, bundledModels } from './bundled.ts';
import { type CallWorker, createCalls } from './calls.ts';
import type { Engine, ModelCard, Order, Progress } from './engine.ts';
import type { DecodeCall, DeviceChoice, TrainCall, TrainProgress, VideoCall } from './protocol.ts';

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
  const call: CallWorker = createCalls();
  const bundled = bundledModels();
  const own: ModelCard[] = [];
  let added = 0;
  const openBundled = bundledOpener(call);

  return {
    kind: 'local',
    models: async () => [...bundled.map(({ card }) => card), ...own],

    async *sample(order: Order, signal: AbortSignal): AsyncGenerator<Progress> {
      const known = bundled.find(({ card }) => card.id === order.model);
      if (known) await openBundled(known);
      yield* call('sample', { order, device: device() }, signal);
    },

    async add(files) {
      const title = nameOf(files);
      const id = `yours-${++added}-${title}`;
      let result: Added = {};
      for await (const opened of call('open', { id, place: { kind: 'files', files } })) {
        if (opened.kind === 'autoencoder') {
          const { config, fingerprint } = opened;
          result = { ...result, autoencoder: { id, title, config, fingerprint } };
        } else {
          const model: ModelCard = { id, title, source: 'yours', config: opened.config };
          own.push(model);
          result = { ...result, model };
        }
      }
      return result;
    },

    async decode(given, signal) {
      for await (const { images } of call('decode', { ...given, device: device() }, signal)) return images;
      throw new Error('the latents could not be decoded');
    },

    // Moving the tensors of a model this small to the GPU and back takes longer than computing with them.
    train(given, signal) {
      const asked = device();
      return call('train', { ...given, device: asked === 'auto' ? 'wasm' : asked }, signal);
    },

    async video(given) {
      for await (const { file } of call('video', given)) return file;
      throw new Error('the video could not be written');
    },
  };
}

/** Tells the worker where a bundled model is, once per model. */
function bundledOpener(call: CallWorker): (model: BundledModel) => Promise<void> {
  const opened = new Set<string>();
  return async ({ card, weights }) => {
    if (opened.has(card.id)) return;
    const place = { kind: 'urls', weights, configText: JSON.stringify(card.config) } as const;
    for await (const _ of call('open', { id: card.id, place }));
    opened.add(card.id);
  };
}

/** Names a model by its folder or, without one, by its weights' file. */
function nameOf(files: readonly File[]): string {
  const weights = files.find(({ name }) => /\.(safetensors|pt|pth|bin)$/i.test(name)) ?? files[0];
  const folder = weights?.webkitRelativePath.split('/').at(-2);
  return folder || (weights?.name.replace(/\.\w+$/, '') ?? 'model');
}
