/** @file The server's app around tiny models that are sampled in this process, without sockets. */

import type { Hono } from 'hono';
import { pixelDecoder } from '../../src/decoding/decoder.ts';
import { ApiError } from '../../src/errors.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { openCpu } from '../../src/runtime/node.ts';
import type { RequestSampler } from '../../src/sampling/process-sampler.ts';
import { createSampler, type Sampler } from '../../src/sampling/sampler.ts';
import { type AppOptions, createApp } from '../../src/server/app.ts';
import { type Background, createBackground, DEFAULT_LIMITS } from '../../src/server/context.ts';
import { createGate } from '../../src/server/gate.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import type { ServedModel } from '../../src/server/models.ts';
import { createMemoryStore } from '../../src/server/store.ts';
import { formulaWeights } from './formula-weights.ts';
import { tinyClips } from './tiny-config.ts';
import { tinyPixels } from './tiny-model.ts';
import { tunedSolver } from './tiny-solver.ts';

export interface TinyServer {
  readonly app: Hono;
  readonly models: readonly ServedModel[];
  /** Samples from the models alone. */
  readonly samplers: Readonly<Record<'pictures' | 'clips', Sampler>>;
  /** Errors that the server logged. */
  readonly errors: ApiError[];
  readonly background: Background;
  stop(): void;
  close(): void;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
}

export interface TinyServerOptions
  extends Partial<
    Pick<AppOptions, 'access' | 'apiKey' | 'cors' | 'draining' | 'hosts' | 'publicUrl' | 'web'>
  > {
  readonly limits?: Partial<AppOptions['limits']>;
  readonly seats?: number;
  readonly waiting?: number;
  /** Names of the models' three classes. Default: those of the images, and none of the clips. */
  readonly classNames?: readonly string[];
  /** Stands before the sampler of pictures. */
  readonly around?: (sampler: RequestSampler) => RequestSampler;
}

const device = openCpu({ threads: 1 });
const opened = {
  pictures: createSampler({
    config: tinyPixels,
    weights: formulaWeights(tinyPixels),
    device,
    batching: { groups: 16 },
  }),
  clips: createSampler({
    config: tinyClips,
    weights: formulaWeights(tinyClips),
    device,
    batching: { groups: 16 },
  }),
};

export async function tinyServer(options: TinyServerOptions = {}): Promise<TinyServer> {
  const samplers = { pictures: await opened.pictures, clips: await opened.clips };
  const { seats = 8, waiting = 8, around = (sampler) => sampler, classNames } = options;
  const serve = (id: string, config: AcditConfig, sampler: RequestSampler): ServedModel => ({
    tuned: tunedSolver(config, [3, 5], { scale: 2, interval: [-2, 6] }),
    id,
    config: classNames ? { ...config, classNames } : config,
    created: 1_700_000_000,
    sampler,
    decoder: pixelDecoder(config),
    gate: createGate({ seats, waiting }),
  });
  const models = [
    serve('pictures', tinyPixels, around(samplers.pictures)),
    serve('clips', tinyClips, samplers.clips),
  ];
  const stopping = new AbortController();
  const closing = new AbortController();
  const errors: ApiError[] = [];
  const background = createBackground();
  const limits = {
    ...DEFAULT_LIMITS,
    ...{ samples: 4, steps: 50, blocks: 12, deadline: 60, videos: 3 },
    ...options.limits,
  };
  const store = createMemoryStore(limits);
  const app = createApp({
    ...options,
    models,
    limits,
    store,
    metrics: createMetrics(() => models, store),
    background,
    stopping: stopping.signal,
    closing: closing.signal,
    version: '0.0.0',
    log: (error) => errors.push(error),
  });
  return {
    app,
    models,
    samplers,
    errors,
    background,
    stop: () => stopping.abort(new ApiError(503, 'stopping', 'the server is stopping', { retryAfter: 5 })),
    close: () => closing.abort(new ApiError(503, 'stopping', 'the server stopped before this was finished')),
    get: async (path, headers = {}) => app.request(path, { headers }),
    post: async (path, body, init = {}) =>
      app.request(path, {
        method: 'POST',
        body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
        ...init,
        headers: { 'content-type': 'application/json', ...init.headers },
      }),
  };
}

/** A sampler that waits before its first event until it is released, or aborted. */
export function heldSampler(inner: RequestSampler) {
  let release = (): void => {};
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  const state = { started: 0, ended: 0 };
  const sampler: RequestSampler = {
    async *sample(request) {
      state.started++;
      try {
        const { signal } = request;
        await Promise.race([
          promise,
          new Promise((_, reject) =>
            signal?.addEventListener('abort', () => reject(signal.reason), { once: true }),
          ),
        ]);
        yield* inner.sample(request);
      } finally {
        state.ended++;
      }
    },
    dispose: () => inner.dispose(),
  };
  return { sampler, state, release: () => release() };
}

/** Data of server-sent events. */
export async function eventsOf<E>(response: Response): Promise<E[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((part) => part.startsWith('event: '))
    .map((part) => {
      const [name, data = ''] = part.split('\n');
      const event = JSON.parse(data.slice('data: '.length));
      if (name !== `event: ${event.type}`) throw new Error(`the event is called ${name}`);
      return event;
    });
}

/** The error that a refused request gets, without the id of the request. */
export async function errorOf(
  response: Response,
): Promise<{ message: string; type: string; param: string | null; code: string }> {
  const { error } = (await response.json()) as {
    error: Awaited<ReturnType<typeof errorOf>> & { request_id?: string };
  };
  const { request_id: _id, ...others } = error;
  return others;
}
