/**
 * @file A request on its way: it waits for its turn, is sampled, and ends in time, when the server does, or when nobody
 * waits.
 */

import { ApiError } from '../errors.ts';
import { createChannel } from '../remote/channel.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import type { ServerContext } from './context.ts';
import { milliseconds } from './milliseconds.ts';
import type { PlannedRequest } from './sampling-request.ts';
import type { ServedModel } from './served-model.ts';

/** The request waits for so many others. */
export interface WaitEvent {
  readonly kind: 'wait';
  readonly ahead: number;
}
export type GenerationEvent = WaitEvent | { readonly kind: 'start' } | SampleEvent;

/**
 * Enters the queue at once, and samples when it is the request's turn. Its seats are freed when the events end, are no
 * longer read, or `client` is aborted.
 * @param client aborted when the client no longer waits for the samples
 * @throws {ApiError} at once: 429 if too many requests wait. The events fail with 504 after the deadline, and with 503 if
 * the server ends
 */
export function generate(
  { closing, limits, metrics }: ServerContext,
  { id, gate, sampler }: ServedModel,
  request: PlannedRequest,
  client: AbortSignal,
): AsyncGenerator<GenerationEvent, void, void> {
  const samples = request.labels.length;
  const ours = new AbortController();
  const signal = AbortSignal.any([client, closing, ours.signal]);
  const places = createChannel<number>();
  const entered = gate.enter(samples, signal, places.push);
  const timer = setTimeout(() => ours.abort(overdue(limits.deadline)), milliseconds(limits.deadline));
  // A consumer that stops reading never reaches `finally`, so an abort frees the seats and the timer too.
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  entered.then((leave) => {
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    places.end();
  }, places.fail);

  async function* events(): AsyncGenerator<GenerationEvent, void, void> {
    try {
      for await (const ahead of places) yield { kind: 'wait', ahead };
      signal.throwIfAborted();
      yield { kind: 'start' };
      for await (const event of sampler.sample({ ...request, signal })) {
        if (event.kind === 'done') metrics.finished(id, samples);
        yield event;
      }
    } finally {
      ours.abort();
    }
  }
  return events();
}

function overdue(deadline: number): ApiError {
  return new ApiError(
    504,
    'deadline_exceeded',
    `the request took longer than its limit of ${deadline} seconds`,
  );
}
