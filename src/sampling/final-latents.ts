/** @file Samples for who waits for all of them. */

import { AcditError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { SampleEvent } from './sampler.ts';

/** The latents (N, T, B, C) that a sampler's events end with. @throws {AcditError} if they end without. */
export async function finalLatents(events: AsyncIterable<SampleEvent>): Promise<Tensor<'float32'>> {
  for await (const event of events) if (event.kind === 'done') return event.latents;
  throw new AcditError('the sampler ended without samples');
}
