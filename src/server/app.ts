/** @file The whole server as a function from requests to answers. It knows no sockets and opens no models. */

import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { ApiError } from '../errors.ts';
import { PATHS } from './api.ts';
import { requireKey } from './api-key.ts';
import type { ServerContext } from './context.ts';
import { fileRoutes, imageRoutes } from './images.ts';
import { modelRoutes } from './models.ts';
import { openApiDocument } from './openapi.ts';
import { errorResponse, toApiError } from './problems.ts';
import { type StaticFiles, staticRoutes } from './static-files.ts';
import { streamRoutes } from './stream.ts';
import { videoRoutes } from './videos.ts';

export interface AppOptions extends ServerContext {
  /** What clients must send as a bearer token. */
  readonly apiKey?: string | undefined;
  /** Origins whose pages may use the server, or `*`. */
  readonly cors?: readonly string[] | undefined;
  /** The web app, served at the root. */
  readonly web?: StaticFiles | undefined;
  /** Of the package. */
  readonly version: string;
}

/** The server as a function from requests to answers; it listens nowhere. */
export function createApp(options: AppOptions): Hono {
  const { limits, log, stopping, metrics } = options;
  const app = new Hono();
  app.use(async (c, next) => {
    const started = performance.now();
    await next();
    metrics.answered(routeName(c.req.path), c.res.status, (performance.now() - started) / 1000);
  });
  if (options.cors) app.use(cors({ origin: [...options.cors] }));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        errorResponse(
          new ApiError(
            405,
            'method_not_allowed',
            `${c.req.path} takes ${methods.join(', ')}, not ${c.req.method}`,
          ),
        ),
    }),
  );
  app.get(PATHS.health, (c) => {
    if (stopping.aborted) throw stopping.reason;
    return c.json({ status: 'ok' });
  });
  app.get(PATHS.openapi, (c) => c.json(openApiDocument(options.version)));
  fileRoutes(app, options);
  app.use('/v1/*', async (_, next) => {
    if (stopping.aborted) throw stopping.reason;
    await next();
  });
  for (const path of ['/v1/*', PATHS.metrics]) app.use(path, requireKey(options.apiKey));
  app.get(PATHS.metrics, async (c) =>
    c.text(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  );
  app.use(
    '/v1/*',
    bodyLimit({
      maxSize: limits.body,
      onError: () => {
        throw new ApiError(
          413,
          'body_too_large',
          `the body is larger than the ${limits.body} bytes that are taken`,
        );
      },
    }),
  );
  modelRoutes(app, options);
  imageRoutes(app, options);
  videoRoutes(app, options);
  streamRoutes(app, options);
  if (options.web) staticRoutes(app, options.web);
  app.notFound((c) =>
    errorResponse(new ApiError(404, 'not_found', `there is nothing at ${c.req.method} ${c.req.path}`)),
  );
  app.onError((error) => {
    const problem = toApiError(error);
    log(problem);
    return errorResponse(problem);
  });
  return app;
}

/** The path's beginning, so that there are not as many as there are names. */
function routeName(path: string): string {
  return Object.values(PATHS).find((known) => path === known || path.startsWith(`${known}/`)) ?? 'other';
}
