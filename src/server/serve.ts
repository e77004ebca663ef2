/** @file A running server: models in processes of their own, the app on a port, and an orderly end. */

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, extname } from 'node:path';
import { serve } from '@hono/node-server';
import type { OpenOptions } from '../checkpoints/load.ts';
import { type Decoder, pixelDecoder, processDecoder, requireAutoencoder } from '../decoding/decoder.ts';
import { AcditError, ApiError, ArgumentError } from '../errors.ts';
import { createApp } from './app.ts';
import type { ServerLimits } from './context.ts';
import { createGate } from './gate.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { openRestartingSampler } from './restarting-sampler.ts';
import type { ServedDevice } from './sampling-messages.ts';
import { inTurns, type ServedModel } from './served-model.ts';
import { listStaticFiles } from './static-files.ts';
import { createFileStore } from './stored-files.ts';

/** A model to serve. */
export interface ModelSource {
  /** A model folder or file. */
  readonly path: string;
  /** Which of its weights to take, and what it does not state itself. */
  readonly open?: OpenOptions;
  /** What clients call it; by default the path's last part, without its ending. */
  readonly id?: string;
  /** Folder of the autoencoder, for a model of latents. */
  readonly vae?: string | undefined;
}

/** What is served, where, and within which limits. */
export interface ServeOptions {
  /** At least one. */
  readonly models: readonly ModelSource[];
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** What to sample on; the CPU by default. */
  readonly device?: ServedDevice | undefined;
  readonly threads: number;
  /** Samples of a model that are worked on at once. */
  readonly batch: number;
  /** Requests for a model that may wait. */
  readonly queue: number;
  readonly limits: ServerLimits;
  readonly apiKey?: string | undefined;
  readonly cors?: readonly string[] | undefined;
  /** Folder of the web app. */
  readonly web?: string | undefined;
  readonly version: string;
  /** Told of what went wrong on the server's side. */
  readonly log: (message: string) => void;
}

/** A server that listens. */
export interface RunningServer {
  /** Without a slash at the end. */
  readonly url: string;
  readonly models: readonly string[];
  /** Take no new requests, wait for those in progress for so many seconds, and end. */
  close(grace: number): Promise<void>;
}

/** Pictures that were asked for as URLs: for an hour, as OpenAI's. */
const FILES = { capacity: 256e6, lifetime: 3600 } as const;
/** Milliseconds for a client to send its headers, and its whole request. */
const TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5_000 } as const;
/** How often connections that have become idle are closed while the server ends, in milliseconds. */
const CLOSING_INTERVAL = 100;

/**
 * Load models and listen.
 * @throws {AcditError} if a model cannot be loaded, or the port not be had
 */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const web = options.web === undefined ? undefined : await listStaticFiles(options.web);
  const models: ServedModel[] = [];
  const metrics = createMetrics(() => models);
  const stopping = new AbortController();
  const closing = new AbortController();
  const closeModels = async (): Promise<void> => {
    for (const { sampler, decoder } of models) {
      await sampler.dispose();
      await decoder.close();
    }
  };
  try {
    for (const source of options.models) models.push(await openServedModel(source, options, metrics, models));
    const app = createApp({
      ...options,
      models,
      metrics,
      web,
      files: createFileStore(FILES),
      stopping: stopping.signal,
      closing: closing.signal,
      log: (error) => {
        if (error.status === 500) options.log(describeFailure(error));
      },
    });
    const server = await listen(app.fetch, options);
    const { port } = server.address() as AddressInfo;
    const host = options.host.includes(':') ? `[${options.host}]` : options.host;
    return {
      url: `http://${host}:${port}`,
      models: models.map(({ id }) => id),
      async close(grace) {
        stopping.abort(new ApiError(503, 'stopping', 'the server is stopping', { retryAfter: 5 }));
        await closeConnections(server, grace, () =>
          closing.abort(new ApiError(503, 'stopping', 'the server stopped before this was finished')),
        );
        await closeModels();
      },
    };
  } catch (error) {
    await closeModels();
    throw error;
  }
}

async function openServedModel(
  { path, open = {}, id = basename(path, extname(path)), vae }: ModelSource,
  { device, threads, batch, queue }: ServeOptions,
  metrics: Metrics,
  others: readonly ServedModel[],
): Promise<ServedModel> {
  if (others.some((other) => other.id === id)) {
    throw new ArgumentError(`two models are called '${id}'; name them apart, as NAME=PATH`);
  }
  // Each sample has two guidance branches.
  const settings = { model: path, open, device, threads, groups: 2 * batch };
  const sampler = await openRestartingSampler(settings, (pass) => metrics.passed(id, pass));
  const { config } = sampler;
  try {
    if (vae !== undefined) await requireAutoencoder(config, vae);
  } catch (error) {
    await sampler.dispose();
    throw error;
  }
  const openDecoder = (): Decoder =>
    vae === undefined
      ? pixelDecoder(config)
      : processDecoder({ config, vae, threads }, new AbortController().signal);
  return {
    id,
    config,
    created: Math.floor(Date.now() / 1000),
    sampler,
    decoder: inTurns(openDecoder),
    gate: createGate({ seats: batch, waiting: queue }),
  };
}

function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { host, port }: ServeOptions,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, hostname: host, port, serverOptions: TIMEOUTS }, () =>
      resolve(server),
    ) as Server;
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'it is in use; give another with --port' : cause.message;
      reject(new AcditError(`cannot listen on ${host}:${port}: ${why}`, { cause }));
    });
  });
}

/** Close each connection when its answer is sent; after `grace` seconds, all. */
async function closeConnections(server: Server, grace: number, giveUp: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const closingIdle = setInterval(() => server.closeIdleConnections(), CLOSING_INTERVAL);
  const timers = [
    setTimeout(giveUp, grace * 1000),
    // Answers that the end has cut short still have a moment to be sent.
    setTimeout(() => server.closeAllConnections(), grace * 1000 + 1000),
  ];
  await closed;
  for (const timer of timers) clearTimeout(timer);
  clearInterval(closingIdle);
  giveUp(); // what runs without a connection
}

function describeFailure(error: ApiError): string {
  const { cause } = error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : error.message;
}
