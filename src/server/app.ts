/** @file The whole server as a function from requests to answers. It knows no sockets and opens no models. */

import { type Context, Hono } from 'hono';
import { methodNotAllowed as checkMethods } from 'hono/method-not-allowed';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { allowedOrigins, checkHosts, type HostRules, requireKey, shareWith } from './access.ts';
import { cleanPublicUrl, mountPath } from './addresses.ts';
import { PATHS } from './api.ts';
import { type HealthOptions, healthRoutes } from './health.ts';
import { fileRoutes, imageRoutes } from './images.ts';
import { modelRoutes } from './models.ts';
import { type AccessEntry, observe } from './observation.ts';
import { openApiDocument } from './openapi.ts';
import { errorResponse, methodNotAllowed, toApiError } from './problems.ts';
import { type StaticFiles, staticRoutes } from './static-files.ts';
import { streamRoutes } from './stream.ts';
import { videoRoutes } from './videos.ts';

export interface AppOptions extends HealthOptions {
  /** The key that clients must send as a bearer token; white space around it is ignored. */
  readonly apiKey?: string | undefined;
  /** Origins whose pages may use the server, or `*`. */
  readonly cors?: readonly string[] | undefined;
  /** The hosts that requests may name (default: any, for an app that another server has mounted). */
  readonly hosts?: HostRules | undefined;
  /** The web app, served at the root. */
  readonly web?: StaticFiles | undefined;
  /** The package's version. */
  readonly version: string;
  /** Told of each answer when it has ended. */
  readonly access?: ((entry: AccessEntry) => void) | undefined;
}

/**
 * Makes the server as a function from requests to answers; it listens nowhere.
 * @throws {ArgumentError} if the key, an origin or the public URL is not valid
 */
export function createApp(given: AppOptions): Hono {
  const options = {
    ...given,
    publicUrl: given.publicUrl === undefined ? undefined : cleanPublicUrl(given.publicUrl),
  };
  const app = new Hono();
  app.use(observe(options.metrics, options.access));
  const origins = allowedOrigins(options.cors);
  if (options.cors) app.use(shareWith(origins));
  healthRoutes(app, options);
  app.use(checkHosts(options.hosts, origins));
  app.use(
    checkMethods({
      app,
      onMethodNotAllowed: (c, methods) => errorResponse(methodNotAllowed(c, methods), c.get('names')),
    }),
  );
  app.get(PATHS.openapi, (c) => c.json(openApiDocument(options, options.publicUrl ?? (mountPath(c) || '/'))));
  fileRoutes(app, options);
  apiRoutes(app, options);
  if (options.web) staticRoutes(app, options.web);
  app.notFound(notFound);
  app.onError((error, c) => {
    const problem = toApiError(error);
    options.log(problem, c.get('names'));
    return errorResponse(problem, c.get('names'));
  });
  return app;
}

/** Answers requests for paths that do not exist. */
export function notFound(c: Context): Response {
  const message = `there is nothing at ${printable(c.req.method)} ${printable(c.req.path)}`;
  return errorResponse(new ApiError(404, 'not_found', message), c.get('names'));
}

/** Routes that need the key. While the server stops, they accept no new work, but return finished files. */
function apiRoutes(app: Hono, options: AppOptions): void {
  const { stopping, metrics } = options;
  for (const path of ['/v1/*', PATHS.metrics]) app.use(path, requireKey(options.apiKey));
  app.use('/v1/*', async (c, next) => {
    if (stopping.aborted && c.req.method === 'POST') throw stopping.reason;
    await options.ready?.();
    await next();
  });
  app.get(PATHS.metrics, async (c) =>
    c.text(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  );
  modelRoutes(app, options.models);
  imageRoutes(app, options);
  videoRoutes(app, options);
  streamRoutes(app, options);
}
