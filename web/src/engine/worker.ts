/** @file The worker: models, sampling and training, away from the page, which stays free to draw. */

import { type Device, openBrowserDevice, sortFiles } from '../../../src/browser/index.ts';
import { serve, workerScopePort } from '../../../src/remote/index.ts';
import type { DeviceChoice, OpenCall, Opened, WorkerCalls } from './protocol.ts';
import { runtimeFiles } from './runtime-files.ts';
import { createAutoencoders } from './worker-autoencoders.ts';
import { createModels } from './worker-models.ts';
import { trainShapes } from './worker-training.ts';
import { makeVideo } from './worker-video.ts';

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

/** Opens a model, an autoencoder, or both. */
async function open({ id, place }: OpenCall, signal: AbortSignal): Promise<Opened[]> {
  if (place.kind === 'urls') return models.open({ id, place }, signal);
  const { autoencoder, model } = await sortFiles(place.files);
  const opened: Opened[] = [];
  if (autoencoder.length > 0) opened.push(await autoencoders.open(id, autoencoder));
  if (model.length > 0 || autoencoder.length === 0) {
    opened.push(...(await models.open({ id, place: { kind: 'files', files: model } }, signal)));
  }
  return opened;
}

void serve<WorkerCalls>(workerScopePort(globalThis), {
  open,
  sample: models.sample,
  decode: autoencoders.decode,
  train: (given, signal) => trainShapes(given, openDevice, signal),
  video: makeVideo,
});
