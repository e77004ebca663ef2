/** @file Sampling block by block, as an async iterator of events. */

export { type DecodeFrames, type FramesEvent, streamFrames } from './frames.ts';
export { checkAutoencoder, latentsToImages } from './latents-to-images.ts';
export type { Fallback } from './load-check.ts';
export type { SamplingMemory } from './memory.ts';
export type { BatchingOptions, PassInfo } from './noise-predictor.ts';
export { DEFAULT_SEED } from './request.ts';
export {
  createSampler,
  type SampleEvent,
  type SampleRequest,
  type Sampler,
  type SamplerOptions,
} from './sampler.ts';
export type { WeightSource } from './segments.ts';
export type { PerBlock, SettingsRequest, Timesteps } from './settings.ts';
