/** @file The server in one line: a Hono app, or a plain fetch handler, with a default for everything. */

import { Hono } from 'hono';
import { messageOf } from '../attempt.ts';
import { AcditError, ApiError } from '../errors.ts';
import { packageVersion } from '../package-version.ts';
import { bundledModel, decoderPath, hubModelName, modelPath, openNamedModel } from '../runs/model-path.ts';
import { machine } from '../runtime/machine.ts';
import { type AppOptions, createApp, notFound } from './app.ts';
import { createBackground, DEFAULT_CAPACITY, DEFAULT_LIMITS } from './context.ts';
import { createMetrics } from './metrics.ts';
import type { ServedModel } from './models.ts';
import type { RequestNames } from './request-names.ts';
import { closeModels, failureLog, type ModelSource, openServedModel, type ServeOptions } from './serve.ts';
import { createMemoryStore } from './store.ts';
import { takeOverVideos } from './videos.ts';

/** What is served, and within which limits; everything has a default. */
export interface AcditAppOptions
  extends Partial<
      Pick<ServeOptions, 'device' | 'precision' | 'threads' | 'batch' | 'queue' | 'limits' | 'store'>
    >,
    Pick<AppOptions, 'access' | 'apiKey' | 'cors' | 'publicUrl' | 'hosts'> {
  /**
   * Names or paths, as `open` takes them, or what {@link startServer} takes (default: the default image model
   * and the default video model of the package).
   */
  readonly models?: readonly (string | ModelSource)[] | undefined;
  /** Autoencoder of models of latents: a folder, or a name on the hub (default: that of the released models). */
  readonly vae?: string | undefined;
  /**
   * Path at which a plain fetch handler is reached, such as `/api/ai`. Hono's `route` needs none: it sets the path itself.
   */
  readonly prefix?: string | undefined;
  /** Gets what went wrong on the server's side (default: standard error). */
  readonly log?: ((message: string, names?: RequestNames) => void) | undefined;
}

/** The server as a Hono app. Its `fetch` is a plain handler. */
export interface AcditApp extends Hono, AsyncDisposable {
  /**
   * Loads the models, each in a process of its own. The first request does it too; requests wait meanwhile.
   * @throws {AcditError} if a model cannot be loaded; the next request tries again
   */
  load(): Promise<void>;
  /** Refuses new requests, stops those in progress, and ends the processes of the models. */
  dispose(): Promise<void>;
}

/**
 * Makes the server of `acdit serve` for an app of your own. Nothing is loaded before the first request.
 * @throws {ArgumentError} if the key, an origin or the public URL is not valid
 *
 * @example
 * ```ts
 * const app = new Hono();
 * app.route('/ai', acditApp({ models: ['fashion-mnist'] }));
 * // POST /ai/v1/images/generations {"prompt": "sneaker"}
 * ```
 */
export function acditApp(options: AcditAppOptions = {}): AcditApp {
  const { log = (message) => console.error(`acdit: ${message}`), limits, prefix } = options;
  const allLimits = { ...DEFAULT_LIMITS, ...limits };
  const models: ServedModel[] = [];
  const store = options.store ?? createMemoryStore(allLimits);
  const metrics = createMetrics(() => models, store);
  const background = createBackground();
  const stopping = new AbortController();
  const closing = new AbortController();
  let loading: Promise<void> | undefined;

  async function loadAll(): Promise<void> {
    const settings = { threads: machine().cores, ...DEFAULT_CAPACITY, ...options, log };
    try {
      for (const model of options.models ?? [bundledModel('image'), bundledModel('video')]) {
        closing.signal.throwIfAborted();
        const source =
          typeof model === 'string' ? await namedSource(model, options.vae, closing.signal) : model;
        models.push(await openServedModel(source, settings, metrics, models));
      }
      void takeOverVideos(context, stopping.signal);
    } catch (error) {
      await closeModels(models.splice(0));
      loading = undefined;
      throw error;
    }
  }
  const load = async (): Promise<void> => {
    stopping.signal.throwIfAborted();
    loading ??= loadAll();
    await loading;
  };
  async function dispose(): Promise<void> {
    const ended = new ApiError(503, 'stopping', 'the server has stopped', { retryAfter: 5 });
    stopping.abort(ended);
    closing.abort(ended);
    await loading?.catch(() => {}); // its caller has the error
    await background.idle();
    await closeModels(models.splice(0));
  }

  const context = {
    ...options,
    version: packageVersion(),
    models,
    metrics,
    background,
    limits: allLimits,
    store,
    stopping: stopping.signal,
    closing: closing.signal,
    log: failureLog(log),
    ready: () => load().catch(asApiError),
  };
  const app = createApp(context);
  const mounted = prefix === undefined ? app : new Hono().notFound(notFound).route(prefix, app);
  return Object.assign(mounted, { load, dispose, [Symbol.asyncDispose]: dispose });
}

/** @throws {ApiError} with the message of what cannot be loaded, for clients and for the log */
function asApiError(cause: unknown): never {
  if (cause instanceof ApiError || !(cause instanceof AcditError)) throw cause;
  throw new ApiError(500, 'model_not_loaded', `the models cannot be loaded: ${messageOf(cause)}`, { cause });
}

/** Finds a model by its name or path, and its autoencoder if it needs one. */
async function namedSource(name: string, vae: string | undefined, signal: AbortSignal): Promise<ModelSource> {
  const path = await modelPath(name, { signal });
  const id = await hubModelName(name);
  const model = await openNamedModel(path);
  await model.archive.close();
  const folder = model.config.space === 'latents' ? await decoderPath(model, vae, { signal }) : undefined;
  return { path, ...(id !== undefined && { id }), vae: folder };
}
