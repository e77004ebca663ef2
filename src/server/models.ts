/** @file `GET /v1/models`: what there is to sample from. */

import type { Hono } from 'hono';
import { type ModelList, PATHS } from './api.ts';
import type { ServerContext } from './context.ts';
import { findModel } from './sampling-request.ts';
import { modelEntry } from './served-model.ts';

export function modelRoutes(app: Hono, { models }: ServerContext): void {
  app.get(PATHS.models, (c) => c.json({ object: 'list', data: models.map(modelEntry) } satisfies ModelList));
  app.get(`${PATHS.models}/:id{.+}`, (c) => c.json(modelEntry(findModel(models, c.req.param('id')))));
}
