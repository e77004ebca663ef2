/** @file Calls of an object that is shared, as steps that a test can interleave, abort and abandon. */

import type { SampleEvent, SampleRequest } from '../../src/sampling/sampler.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { digest } from './digest.ts';

/** Runs step by step, and returns a digest of its result. */
export type Call = (signal?: AbortSignal) => AsyncGenerator<unknown, string>;

/** What samples: a sampler, here or in another process. */
interface Samples {
  sample(request: SampleRequest): AsyncGenerator<SampleEvent, void, void>;
}

/** Sampling, with one step per event. */
export function sampling(sampler: Samples, request: SampleRequest): Call {
  return async function* (signal) {
    for await (const event of sampler.sample({ ...request, ...(signal && { signal }) })) {
      if (event.kind === 'done') return finiteDigest(event.latents);
      yield event.kind;
    }
    throw new Error('sampling ended without latents');
  };
}

/** A function that can only be awaited: it has begun after the first step. */
export function awaiting(work: (signal?: AbortSignal) => Promise<Tensor<'float32'>>): Call {
  return async function* (signal) {
    const result = work(signal);
    result.catch(() => {}); // the caller hears of it below
    yield 'begun';
    return finiteDigest(await result);
  };
}

/** A digest that no result of NaN has by chance. */
function finiteDigest(result: Tensor<'float32'>): string {
  if (!result.data.every(Number.isFinite)) throw new Error('the result is not finite');
  return digest(result);
}

/** The result of a call that runs to its end. */
export async function finish(running: ReturnType<Call>): Promise<string> {
  for (;;) {
    const { done, value } = await running.next();
    if (done) return value;
  }
}

/** Takes the first `count` steps of a call; returns its result if it had no more. */
export async function begin(running: ReturnType<Call>, count: number): Promise<string | undefined> {
  for (let i = 0; i < count; i++) {
    const { done, value } = await running.next();
    if (done) return value;
  }
  return undefined;
}

/** The results of several calls whose steps alternate. */
export async function interleave(calls: readonly Call[]): Promise<string[]> {
  const results: string[] = [];
  let running = calls.map((call, index) => ({ index, steps: call() }));
  while (running.length > 0) {
    const next = await Promise.all(running.map(async (one) => ({ one, ...(await one.steps.next()) })));
    for (const { one, done, value } of next) if (done) results[one.index] = value as string;
    running = next.filter(({ done }) => !done).map(({ one }) => one);
  }
  return results;
}
