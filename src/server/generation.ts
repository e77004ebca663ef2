/** @file A request on its way: it waits for its turn, is sampled, and ends in time, when the server does, or when nobody waits. */

import { ApiError } from '../errors.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import { createChannel } from './channel.ts';
import type { PlannedRequest } from './sampling-request.ts';
import type { ServedModel } from './served-model.ts';

/** The request waits for so many others. */
export interface WaitEvent {
  readonly kind: 'wait';
  readonly ahead: number;
}
export type GenerationEvent = WaitEvent | { readonly kind: 'start' } | SampleEvent;

export interface GenerationOptions {
  /** Aborted when nobody waits any more, or the server ends. */
  readonly signal: AbortSignal;
  /** Seconds that a request may take, waiting included. */
  readonly deadline: number;
}

/**
 * Sample when it is the request's turn.
 * @throws {ApiError} 429 if too many wait, 504 after the deadline
 * @throws the signal's reason once it is aborted
 */
export async function* generate(
  { gate, sampler }: ServedModel,
  request: PlannedRequest,
  { signal: outer, deadline }: GenerationOptions,
): AsyncGenerator<GenerationEvent, void, void> {
  const ours = new AbortController();
  const timer = setTimeout(() => ours.abort(overdue(deadline)), deadline * 1000);
  const signal = AbortSignal.any([outer, ours.signal]);
  const places = createChannel<number>();
  let leave: (() => void) | undefined;
  gate.enter(request.labels.length, signal, places.push).then((left) => {
    leave = left;
    if (signal.aborted) left();
    places.end();
  }, places.fail);
  try {
    for await (const ahead of places) yield { kind: 'wait', ahead };
    yield { kind: 'start' };
    yield* sampler.sample({ ...request, signal });
  } finally {
    clearTimeout(timer);
    ours.abort(); // whoever left while waiting leaves the queue
    leave?.();
  }
}

function overdue(deadline: number): ApiError {
  return new ApiError(
    504,
    'deadline_exceeded',
    `the request took more than the ${deadline} s that it may take`,
  );
}
