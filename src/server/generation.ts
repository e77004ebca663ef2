/** @file A request on its way: it waits for its turn, is sampled, and ends in time, when the server does, or when nobody waits. */

import { ApiError } from '../errors.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import { createChannel } from './channel.ts';
import type { ServerContext } from './context.ts';
import type { PlannedRequest } from './sampling-request.ts';
import type { ServedModel } from './served-model.ts';

/** The request waits for so many others. */
export interface WaitEvent {
  readonly kind: 'wait';
  readonly ahead: number;
}
export type GenerationEvent = WaitEvent | { readonly kind: 'start' } | SampleEvent;

/**
 * Sample when it is the request's turn.
 * @param client aborted when nobody waits any more
 * @throws {ApiError} 429 if too many wait, 504 after the deadline, 503 if the server ends
 * @throws the signal's reason once it is aborted
 */
export async function* generate(
  { closing, limits, metrics }: ServerContext,
  { id, gate, sampler }: ServedModel,
  request: PlannedRequest,
  client: AbortSignal,
): AsyncGenerator<GenerationEvent, void, void> {
  const samples = request.labels.length;
  const ours = new AbortController();
  const timer = setTimeout(() => ours.abort(overdue(limits.deadline)), limits.deadline * 1000);
  const signal = AbortSignal.any([client, closing, ours.signal]);
  const places = createChannel<number>();
  gate.enter(samples, signal, places.push).then((leave) => {
    // Whoever reads no events does not come by here, so an end gives back the seats by itself.
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    places.end();
  }, places.fail);
  try {
    for await (const ahead of places) yield { kind: 'wait', ahead };
    yield { kind: 'start' };
    for await (const event of sampler.sample({ ...request, signal })) {
      if (event.kind === 'done') metrics.finished(id, samples);
      yield event;
    }
  } finally {
    clearTimeout(timer);
    ours.abort();
  }
}

function overdue(deadline: number): ApiError {
  return new ApiError(
    504,
    'deadline_exceeded',
    `the request took more than the ${deadline} s that it may take`,
  );
}
