/**
 * @file The common entry points: load a model, open a device, sample or train, write images. Everything else is in
 * the subpaths, one for each folder of the source, such as `acdit/graph` or `acdit/formats`.
 *
 * @example
 * ```ts
 * import { createSampler, loadModel, openCpu } from 'acdit';
 *
 * const device = openCpu();
 * const sampler = await createSampler({ ...(await loadModel('models/fashion-mnist')), device });
 * for await (const event of sampler.sample({ labels: [0, 1, 2] })) console.log(event.kind);
 * await device.dispose();
 * ```
 */

export { loadModel, saveModel } from './checkpoints/index.ts';
export { openDataset } from './data/index.ts';
export {
  AcditError,
  ArgumentError,
  CheckpointError,
  ConfigError,
  DatasetError,
  DeviceError,
  FormatError,
  HubError,
  ShapeError,
  TrainingError,
  VideoDecoderError,
} from './errors.ts';
export { grid, imageFromSamples, writePng } from './media/index.ts';
export { type AcditConfig, unpatchify, type Weights } from './models/index.ts';
export type { Device } from './runtime/index.ts';
export { type DeviceOptions, openCpu } from './runtime/node.ts';
export {
  createSampler,
  type SampleEvent,
  type SampleRequest,
  type Sampler,
} from './sampling/index.ts';
export {
  openProcessSampler,
  type ProcessSampler,
  type RequestSampler,
  type SamplingSettings,
  type ServedDevice,
} from './sampling/process-sampler.ts';
export { Generator, type Tensor } from './tensor/index.ts';
export { parseRecipe, type Recipe, recipeModel, train } from './training/index.ts';
