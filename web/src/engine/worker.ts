/** @file The worker: models, sampling and training, away from the page, which stays free to draw. */

import { type Device, openBrowserDevice, sortFiles } from '../../../src/browser/index.ts';
import type { Calls, DeviceChoice, FromWorker, OpenCall, ToWorker } from './protocol.ts';
import { runtimeFiles } from './runtime-files.ts';
import { createAutoencoders } from './worker-autoencoders.ts';
import { createModels } from './worker-models.ts';
import { trainShapes } from './worker-training.ts';
import { makeVideo } from './worker-video.ts';

type Handlers = {
  [K in keyof Calls]: (given: Calls[K]['given'], signal: AbortSignal) => AsyncIterable<Calls[K]['event']>;
};

const devices = new Map<DeviceChoice, Promise<Device>>();

/** ONNX Runtime is set up once: one device serves all. */
function openDevice(choice: DeviceChoice): Promise<Device> {
  const known = devices.get(choice) ?? openBrowserDevice({ device: choice, files: runtimeFiles });
  devices.set(choice, known);
  known.catch(() => devices.delete(choice));
  return known;
}

const models = createModels(openDevice);
const autoencoders = createAutoencoders(openDevice);

/** A model, an autoencoder, or both. */
async function* open({ id, place }: OpenCall, signal: AbortSignal): AsyncGenerator<Calls['open']['event']> {
  if (place.kind === 'urls') return yield* models.open({ id, place }, signal);
  const { autoencoder, model } = await sortFiles(place.files);
  if (autoencoder.length > 0) yield await autoencoders.open(id, autoencoder);
  if (model.length > 0 || autoencoder.length === 0) {
    yield* models.open({ id, place: { kind: 'files', files: model } }, signal);
  }
}

const handlers: Handlers = {
  open,
  sample: models.sample,
  decode: autoencoders.decode,
  train: (given, signal) => trainShapes(given, openDevice, signal),
  video: makeVideo,
};

const running = new Map<number, AbortController>();
const send = (message: FromWorker): void => postMessage(message);

/** Lets messages in, such as one that says to stop. */
const otherWork = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

async function answer<K extends keyof Calls>(id: number, kind: K, given: Calls[K]['given']): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  try {
    for await (const event of handlers[kind](given, controller.signal)) {
      send({ id, kind: 'event', event });
      await otherWork();
    }
    send({ id, kind: 'end' });
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    send({ id, kind: 'error', name, message });
  } finally {
    running.delete(id);
  }
}

addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === 'stop') running.get(data.id)?.abort();
  else answer(data.id, data.kind, data.given);
});
