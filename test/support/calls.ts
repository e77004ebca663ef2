/** @file Calls of an object that is shared, as steps that a test can interleave, abort and abandon. */

import type { SampleEvent, SampleRequest } from '../../src/sampling/sampler.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

type Result = Tensor<'float32'>;

/** Runs step by step, and returns its result. */
export type Call = (signal?: AbortSignal) => AsyncGenerator<unknown, Result>;

/** What samples: a sampler, here or in another process. */
interface Samples {
  sample(request: SampleRequest): AsyncGenerator<SampleEvent, void, void>;
}

/** Sampling, with one step per event. */
export function sampling(sampler: Samples, request: SampleRequest): Call {
  return async function* (signal) {
    for await (const event of sampler.sample({ ...request, ...(signal && { signal }) })) {
      if (event.kind === 'done') return event.latents;
      yield event.kind;
    }
    throw new Error('sampling ended without latents');
  };
}

/** A function that can only be awaited: it has begun after the first step. */
export function awaiting(work: (signal?: AbortSignal) => Promise<Result>): Call {
  return async function* (signal) {
    const result = work(signal);
    result.catch(() => {}); // the caller hears of it below
    yield 'begun';
    return await result;
  };
}

/** The result of a call that runs to its end. */
export async function finish(running: ReturnType<Call>): Promise<Result> {
  for (;;) {
    const { done, value } = await running.next();
    if (done) return value;
  }
}

/** Takes the first `count` steps of a call; returns its result if it had no more. */
export async function begin(running: ReturnType<Call>, count: number): Promise<Result | undefined> {
  for (let i = 0; i < count; i++) {
    const { done, value } = await running.next();
    if (done) return value;
  }
  return undefined;
}

/** The results of several calls whose steps alternate. */
export async function interleave(calls: readonly Call[]): Promise<Result[]> {
  const results: Result[] = [];
  let running = calls.map((call, index) => ({ index, steps: call() }));
  while (running.length > 0) {
    const next = await Promise.all(running.map(async (one) => ({ one, ...(await one.steps.next()) })));
    for (const { one, done, value } of next) if (done) results[one.index] = value as Result;
    running = next.filter(({ done }) => !done).map(({ one }) => one);
  }
  return results;
}

/** Leaves a call halfway, as leaving a `for await` loop does. */
export async function abandon(running: ReturnType<Call>): Promise<void> {
  await running.return({ dtype: 'float32', shape: [0], data: new Float32Array() });
}
