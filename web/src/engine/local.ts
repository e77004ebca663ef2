/** @file Making pictures in the browser itself, in a worker. */

import type { Image } from '../../../src/media/pixels.ts';
import type { AutoencoderCard } from '../model/autoencoders.ts';
import { type BundledModel, bundledModels } from './bundled.ts';
import { type CallWorker, createCalls } from './calls.ts';
import type { Engine, ModelCard, Order, Progress } from './engine.ts';
import type { DecodeCall, DeviceChoice, TrainCall, TrainProgress, VideoCall } from './protocol.ts';

/** What files were found to be. */
export interface Added {
  readonly model?: ModelCard;
  readonly autoencoder?: AutoencoderCard;
}

/** The browser as an engine, and what only it can do. */
export interface LocalEngine extends Engine {
  readonly kind: 'local';
  /** Add a model of files, or an autoencoder, or both. @throws {Error} if they are none, or it does not fit in memory. */
  add(files: readonly File[]): Promise<Added>;
  /** One image a frame of latents, all blocks of `config` one after the other. */
  decode(call: Omit<DecodeCall, 'device'>, signal: AbortSignal): Promise<readonly Image[]>;
  train(call: Omit<TrainCall, 'device'>, signal: AbortSignal): AsyncIterable<TrainProgress>;
  video(call: VideoCall): Promise<Blob>;
}

/** @param device gives what to compute on, whenever something is begun. */
export function createLocalEngine(device: () => DeviceChoice): LocalEngine {
  const call: CallWorker = createCalls();
  const bundled = bundledModels();
  const own: ModelCard[] = [];
  let added = 0;
  const placed = new Set<string>();

  /** Tell the worker where a bundled model is, once. */
  async function place({ card, weights }: BundledModel): Promise<void> {
    if (placed.has(card.id)) return;
    const given = {
      id: card.id,
      place: { kind: 'urls', weights, configText: JSON.stringify(card.config) },
    } as const;
    for await (const _ of call('open', given));
    placed.add(card.id);
  }

  return {
    kind: 'local',
    models: async () => [...bundled.map(({ card }) => card), ...own],

    async *sample(order: Order, signal: AbortSignal): AsyncGenerator<Progress> {
      const known = bundled.find(({ card }) => card.id === order.model);
      if (known) await place(known);
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

    // Tensors of a model this small take longer to the graphics card and back than to compute with.
    train(given, signal) {
      const asked = device();
      return call('train', { ...given, device: asked === 'auto' ? 'wasm' : asked }, signal);
    },

    async video(given) {
      for await (const { file } of call('video', given)) return file;
      throw new Error('the clip could not be written');
    },
  };
}

/** What to call a model: its folder, or else its weights' file. */
function nameOf(files: readonly File[]): string {
  const weights = files.find(({ name }) => /\.(safetensors|pt|pth|bin)$/i.test(name)) ?? files[0];
  const folder = weights?.webkitRelativePath.split('/').at(-2);
  return folder || (weights?.name.replace(/\.\w+$/, '') ?? 'model');
}
