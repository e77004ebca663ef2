/** @file Sampling block by block, as an async iterator of events. */

export { checkAutoencoder, latentsToImages } from './latents-to-images.ts';
export {
  createSampler,
  type PerBlock,
  type SampleEvent,
  type SampleRequest,
  type Sampler,
} from './sampler.ts';
