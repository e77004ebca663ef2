/**
 * @file The library's way in, `open`, and the most used parts of what it is made of: load a model, open a device, sample
 * or train, write images. Everything else is in the subpaths, one for each folder of the source, such as `acdit/graph` or
 * `acdit/formats`.
 *
 * @example
 * ```ts
 * import { open } from 'acdit';
 *
 * const acdit = await open('fashion-mnist');
 * const [image] = await acdit.generate('sneaker');
 * await image.save('sneaker.png');
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
export {
  Acdit,
  type ClassChoice,
  type ContinueSource,
  type FileFormat,
  type FileOptions,
  GeneratedSample,
  type GeneratedSamples,
  type GenerateEvent,
  type GenerateOptions,
  type OpenAcditOptions,
  open,
  type Prompt,
  type StreamOptions,
} from './generate/index.ts';
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
