/** @file Making pictures in the browser itself, in a worker. */

import { type BundledModel, bundledModels } from './bundled.ts';
import { type CallWorker, createCalls } from './calls.ts';
import type { Engine, ModelCard, Order, Progress } from './engine.ts';
import type { DeviceChoice, TrainCall, TrainProgress, VideoCall } from './protocol.ts';

/** The browser as an engine, and what only it can do. */
export interface LocalEngine extends Engine {
  readonly kind: 'local';
  /** Add a model of files. @throws {Error} if they are none, or it does not fit in memory. */
  add(files: readonly File[]): Promise<ModelCard>;
  train(call: Omit<TrainCall, 'device'>, signal: AbortSignal): AsyncIterable<TrainProgress>;
  video(call: VideoCall): Promise<Blob>;
}

/** @param device gives what to compute on, whenever something is begun. */
export function createLocalEngine(device: () => DeviceChoice): LocalEngine {
  const call: CallWorker = createCalls();
  const bundled = bundledModels();
  const own: ModelCard[] = [];
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
      const id = `yours-${own.length + 1}-${title}`;
      for await (const { config } of call('open', { id, place: { kind: 'files', files } })) {
        const card: ModelCard = { id, title, source: 'yours', config };
        own.push(card);
        return card;
      }
      throw new Error('the model could not be opened');
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
