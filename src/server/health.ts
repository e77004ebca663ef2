/** @file What probes ask: whether the process lives, whether it should get requests, and whether it accepts work. */

import type { Hono } from 'hono';
import { PATHS, type Readiness } from './api.ts';
import type { ServerContext } from './context.ts';

/** What the probes look at. */
export interface HealthOptions extends ServerContext {
  /** Aborted when a balancer should send no more requests, though they are still accepted. */
  readonly draining?: AbortSignal | undefined;
  /** Loads the models, if they are not loaded yet. */
  readonly ready?: (() => Promise<void>) | undefined;
}

/** Answers whether the process lives, also while it loads its models and while it stops. */
export function alive(): Response {
  return Response.json({ status: 'ok' });
}

/** Probes are answered for any host: those of a cluster use addresses that are not known in advance. */
export function healthRoutes(app: Hono, options: HealthOptions): void {
  app.get(PATHS.live, () => alive());
  app.get(PATHS.ready, (c) => {
    const status = readiness(options);
    if (status === 'loading') options.ready?.().catch(() => {}); // the next request gets the error
    if (status === 'restarting') for (const { sampler } of options.models) sampler.wake?.().catch(() => {});
    const answer: Readiness = { status, store: options.store.up ? 'up' : 'down' };
    return c.json(answer, status === 'ready' ? 200 : 503);
  });
  app.get(PATHS.health, () => {
    if (options.stopping.aborted) throw options.stopping.reason;
    return alive();
  });
}

function readiness({ models, stopping, draining }: HealthOptions): Readiness['status'] {
  if (stopping.aborted) return 'stopping';
  if (draining?.aborted) return 'draining';
  if (models.length === 0) return 'loading';
  return models.some(({ sampler }) => sampler.alive === false) ? 'restarting' : 'ready';
}
