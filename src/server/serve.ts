/** @file A running server: models in processes of their own, the app on a port, and an orderly end. */

import { basename, extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pixelDecoder, processDecoder, requireAutoencoder } from '../decoding/decoder.ts';
import { ApiError, ArgumentError } from '../errors.ts';
import { closingOnError } from '../io/byte-source.ts';
import { deviceKind, requirePrecision } from '../sampling/precision.ts';
import { openRestartingSampler, type SamplingSettings } from '../sampling/process-sampler.ts';
import { resolveSettings } from '../sampling/settings.ts';
import { allowedOrigins, describeRules, hostRules } from './access.ts';
import { cleanPublicUrl } from './addresses.ts';
import { type AppOptions, createApp } from './app.ts';
import { createBackground, DEFAULT_LIMITS, type ServerContext, type ServerLimits } from './context.ts';
import { createGate } from './gate.ts';
import { cleanApiKey } from './key-text.ts';
import { type Listener, listen } from './listener.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { ServedModel } from './models.ts';
import type { RequestNames } from './request-names.ts';
import { listStaticFiles, type StaticFiles } from './static-files.ts';
import { createMemoryStore, type Store } from './store.ts';
import { milliseconds, now } from './time.ts';
import { takeOverVideos } from './videos.ts';

/** A model to serve. */
export interface ModelSource extends Pick<SamplingSettings, 'open'> {
  /** A model folder or file on this machine; `fetchModel` of `acdit/hub` returns one for a name of the hub. */
  readonly path: string;
  /** What clients call it; by default the path's last part, without its ending. */
  readonly id?: string;
  /** Folder of the autoencoder, for a model of latents. */
  readonly vae?: string | undefined;
}

/** What is served, where, and within which limits. */
export interface ServeOptions
  extends Pick<AppOptions, 'access' | 'apiKey' | 'cors' | 'publicUrl' | 'version'>,
    Pick<SamplingSettings, 'device' | 'precision'> {
  /** At least one. A function is called after the port is bound, so that no model is fetched in vain. */
  readonly models: readonly ModelSource[] | (() => Promise<readonly ModelSource[]>);
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly threads: number;
  /** Samples of a model that are worked on at once. */
  readonly batch: number;
  /** Requests for a model that may wait. */
  readonly queue: number;
  /** Limits that differ from {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<ServerLimits> | undefined;
  /** Host names that requests may use, in addition to `host`, `publicUrl` and loopback names. */
  readonly allowHost?: readonly string[] | undefined;
  /** Where videos and files are kept (default: in memory). The caller closes it after the server. */
  readonly store?: Store | undefined;
  /** Folder of the web app. */
  readonly web?: string | undefined;
  /** Folder of the package that the web app is part of, which has the files that both need. */
  readonly webPackage?: string | undefined;
  /** Told of what went wrong on the server's side, and of the request that it belongs to. */
  readonly log: (message: string, names?: RequestNames) => void;
}

/** A server that listens. */
export interface RunningServer {
  /** Without a slash at the end. */
  readonly url: string;
  /** Whether it serves a web app. */
  readonly hasApp: boolean;
  /** Description of the hosts that requests may name, unless only known ones are accepted. */
  readonly hosts: string | undefined;
  readonly models: readonly string[];
  /**
   * Accepts no new work, waits at most `grace` seconds for work in progress, and ends.
   * @param drain seconds to accept requests before that, while `/readyz` is 503 (default: 0)
   */
  close(grace: number, drain?: number): Promise<void>;
}

/** Milliseconds to give unfinished videos back to other servers. */
const LAST_WORDS = 6000;

/**
 * Listens, loads the models, and answers requests. Until the models are loaded, requests get 503.
 * @throws {ArgumentError} if an option is not valid
 * @throws {AcditError} if the port or address is not available, or a model cannot be loaded
 */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const apiKey = options.apiKey === undefined ? undefined : cleanApiKey(options.apiKey);
  const publicUrl = options.publicUrl === undefined ? undefined : cleanPublicUrl(options.publicUrl);
  allowedOrigins(options.cors);
  requirePrecision(deviceKind(options.device ?? 'cpu'), options.precision);
  const web = options.web === undefined ? undefined : await listStaticFiles(options.web, options.webPackage);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const listener = await listen({ ...options, unread: limits.unread });
  const loaded: ServedModel[] = [];
  try {
    const checked = { ...options, apiKey, publicUrl, limits };
    return await serveModels(checked, web, listener, loaded);
  } catch (error) {
    await closeModels(loaded);
    await listener.close(0);
    throw error;
  }
}

/** @param models filled with those that are loaded */
async function serveModels(
  options: ServeOptions & { readonly limits: ServerLimits },
  web: StaticFiles | undefined,
  listener: Listener,
  models: ServedModel[],
): Promise<RunningServer> {
  const { apiKey } = options;
  const hosts = hostRules({ ...options, address: listener.address, hasKey: apiKey !== undefined });
  const store = options.store ?? createMemoryStore(options.limits);
  const metrics = createMetrics(() => models, store);
  const background = createBackground();
  const draining = new AbortController();
  const stopping = new AbortController();
  const closing = new AbortController();
  const sources = typeof options.models === 'function' ? await options.models() : options.models;
  for (const source of sources) models.push(await openServedModel(source, options, metrics, models));
  const context = {
    ...options,
    hosts,
    models,
    metrics,
    background,
    web,
    store,
    draining: draining.signal,
    stopping: stopping.signal,
    closing: closing.signal,
    log: failureLog(options.log),
  };
  listener.answer(createApp(context).fetch);
  void takeOverVideos(context, draining.signal);
  return {
    url: listener.url,
    hasApp: web !== undefined,
    hosts: describeRules(hosts),
    models: models.map(({ id }) => id),
    async close(grace, drain = 0) {
      draining.abort();
      await sleep(milliseconds(drain));
      stopping.abort(new ApiError(503, 'stopping', 'the server is stopping', { retryAfter: 5 }));
      await listener.close(grace, background.idle, () =>
        closing.abort(new ApiError(503, 'stopping', 'the server stopped before this was finished')),
      );
      await Promise.race([background.idle(), sleep(LAST_WORDS, undefined, { ref: false })]);
      await closeModels(models);
    },
  };
}

export async function closeModels(models: readonly ServedModel[]): Promise<void> {
  for (const { sampler, decoder } of models) {
    await sampler.dispose();
    await decoder.close();
  }
}

/** Opens a model in a process of its own. @param others that are open already, whose names are taken */
export async function openServedModel(
  { path, open = {}, id = basename(path, extname(path)), vae }: ModelSource,
  {
    device,
    precision,
    threads,
    batch,
    queue,
    log,
  }: Pick<ServeOptions, 'device' | 'precision' | 'threads' | 'batch' | 'queue' | 'log'>,
  metrics: Metrics,
  others: readonly ServedModel[],
): Promise<ServedModel> {
  if (others.some((other) => other.id === id)) {
    throw new ArgumentError(`two models are called '${id}'; name them apart, as NAME=PATH`);
  }
  // Each sample has two guidance branches.
  const settings = { model: path, open, device, precision, threads, groups: 2 * batch };
  const sampler = await openRestartingSampler(settings, (pass) => metrics.passed(id, pass), log);
  const { config, tuned } = sampler;
  await closingOnError(sampler, async () => resolveSettings(config, { tuned }));
  if (vae !== undefined) await closingOnError(sampler, () => requireAutoencoder(config, vae));
  return {
    id,
    config,
    ...(tuned && { tuned }),
    created: now(),
    sampler,
    decoder: vae === undefined ? pixelDecoder(config) : processDecoder({ config, vae, threads }),
    gate: createGate({ seats: batch, waiting: queue }),
  };
}

/** Returns what logs errors of requests, if they are the server's own, with all details. */
export function failureLog(log: ServeOptions['log']): ServerContext['log'] {
  return ({ status, cause, message }, names) => {
    if (status === 500) log(cause instanceof Error ? (cause.stack ?? cause.message) : message, names);
  };
}
