/** @file Sampling block by block, as an async iterator of events. */

export {
  createSampler,
  type PerBlock,
  type SampleEvent,
  type SampleRequest,
  type Sampler,
} from './sampler.ts';
