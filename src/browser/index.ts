/**
 * @file What a page needs: `open`, with the same names as on Node; the parts that it is made of: a device, a model from
 * files or an address, its sampler, the autoencoder of a model of latents, and images and videos as files; and what trains
 * a small model. Nothing here needs Node. It is best used in a worker.
 *
 * @example
 * ```ts
 * import { open } from 'acdit/browser';
 *
 * const acdit = await open('models/fashion-mnist/');
 * for await (const { samples } of acdit.stream('sneaker')) {
 *   image.src = URL.createObjectURL(await samples[0].toBlob());
 * }
 * ```
 */

export { autoencoderFingerprint } from '../checkpoints/autoencoder-fingerprint.ts';
export type { StoredAutoencoder } from '../checkpoints/stored-autoencoder.ts';
export { type StoredModel, weightSource } from '../checkpoints/stored-model.ts';
export type { Dataset, Sample } from '../data/dataset.ts';
export { AcditError, ArgumentError, CheckpointError, DeviceError, FormatError } from '../errors.ts';
export {
  Acdit,
  type ClassChoice,
  type ContinueSource,
  type GeneratedSamples,
  type GenerateEvent,
  type GenerateOptions,
  type Prompt,
  type StreamOptions,
} from '../generate/generate.ts';
export { type FileFormat, type FileOptions, GeneratedSample } from '../generate/sample.ts';
export type { HttpOptions } from '../io/http-source.ts';
export { framesOf, type Image, samplesFromImage } from '../media/pixels.ts';
export { type AcditConfig, validateConfig } from '../models/acdit/config.ts';
export { patchify, unpatchify } from '../models/acdit/layout.ts';
export type { Weights } from '../models/acdit/weights.ts';
export {
  type Autoencoder,
  type CodingOptions,
  createAutoencoder,
} from '../models/autoencoder/autoencoder.ts';
export type { AutoencoderConfig } from '../models/autoencoder/config.ts';
export { type BrowserDeviceOptions, openBrowserDevice, type RuntimeFiles } from '../runtime/browser.ts';
export type { Device } from '../runtime/device.ts';
export { checkAutoencoder, checkLatentOrigin, latentsToImages } from '../sampling/latents-to-images.ts';
export { DEFAULT_SEED } from '../sampling/request.ts';
export {
  createSampler,
  type SampleEvent,
  type SampleRequest,
  type Sampler,
} from '../sampling/sampler.ts';
export type { Tensor } from '../tensor/tensor.ts';
export { initialState } from '../training/optimizer.ts';
export { parseRecipe, type Recipe, recipeModel } from '../training/recipe.ts';
export { freshWeights, type LoopOptions, runTraining, type StepReport } from '../training/training-loop.ts';
export { availableMemory, requireDecodingMemory, requireMemory } from './memory.ts';
export {
  type NamedBlob,
  openAddress,
  openAutoencoderAddress,
  openAutoencoderFiles,
  openBlob,
  openFiles,
  type SortedFiles,
  sortFiles,
} from './open.ts';
export { type BrowserSource, type OpenAcditOptions, open } from './open-acdit.ts';
export { encodePng, rgbaFromImage } from './pixels.ts';
export { encodeMp4 } from './video.ts';
