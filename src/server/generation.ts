/**
 * @file A request on its way: it waits for its turn, is sampled, and ends in time, when the server does, or when nobody
 * waits.
 */

import { ApiError } from '../errors.ts';
import { createChannel } from '../remote/channel.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import type { ServerContext } from './context.ts';
import type { ServedModel } from './models.ts';
import type { PlannedRequest } from './sampling-request.ts';
import { milliseconds } from './time.ts';

/** A checked request, and the model that it is for. */
export interface Job {
  readonly model: ServedModel;
  readonly request: PlannedRequest;
}

export type GenerationEvent =
  /** The request waits for `ahead` others. */
  { readonly kind: 'wait'; readonly ahead: number } | { readonly kind: 'start' } | SampleEvent;

/**
 * Enters the queue at once, and samples when it is the request's turn. Its seats are freed when the events end, are no
 * longer read, or `client` is aborted.
 * @param client aborted when the client no longer waits for the samples
 * @throws {ApiError} at once: 429 if too many requests wait. The events fail with 504 after the deadline, and with 503 if
 * the server ends
 */
export function generate(
  { closing, limits, metrics }: ServerContext,
  { model: { id, gate, sampler }, request }: Job,
  client: AbortSignal,
): AsyncGenerator<GenerationEvent, void, void> {
  const samples = request.labels.length;
  const ours = new AbortController();
  const asked = performance.now();
  const seconds = (): number => (performance.now() - asked) / 1000;
  const signal = AbortSignal.any([client, closing, ours.signal]);
  const places = createChannel<number>();
  const entered = gate.enter(samples, signal, places.push);
  const overdue = `the request took longer than its limit of ${limits.deadline} seconds`;
  const endLate = (): void => ours.abort(new ApiError(504, 'deadline_exceeded', overdue));
  const timer = setTimeout(endLate, milliseconds(limits.deadline));
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
      metrics.waited(id, seconds());
      yield { kind: 'start' };
      let isFirst = true;
      for await (const event of sampler.sample({ ...request, signal })) {
        if (event.kind === 'block' && !event.given && isFirst) {
          isFirst = false;
          metrics.firstBlock(id, seconds());
        }
        if (event.kind === 'done') metrics.finished(id, samples);
        yield event;
      }
    } finally {
      ours.abort();
    }
  }
  return events();
}
