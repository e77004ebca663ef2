/** @file The models that a server has, and `GET /v1/models`, which lists them. */

import type { Hono } from 'hono';
import { at } from '../at.ts';
import type { Decoder } from '../decoding/decoder.ts';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { type AcditConfig, imageSize } from '../models/acdit/config.ts';
import { didYouMean } from '../nearest.ts';
import type { RequestSampler } from '../sampling/process-sampler.ts';
import { resolveSettings } from '../sampling/settings.ts';
import { type ModelEntry, type ModelList, PATHS } from './api.ts';
import type { Gate } from './gate.ts';
import { invalid } from './problems.ts';

/** A model that is ready to answer. */
export interface ServedModel {
  readonly id: string;
  readonly config: AcditConfig;
  /** The solver that was fitted to the model, if there is one. */
  readonly tuned?: TunedSolver;
  /** When it was opened, in seconds since 1970. */
  readonly created: number;
  /** Takes several requests at a time. */
  readonly sampler: RequestSampler;
  readonly decoder: Decoder;
  readonly gate: Gate;
}

export function modelRoutes(app: Hono, models: readonly ServedModel[]): void {
  app.get(PATHS.models, (c) => c.json({ object: 'list', data: models.map(modelEntry) } satisfies ModelList));
  app.get(`${PATHS.models}/:id{.+}`, (c) => c.json(modelEntry(findModel(models, c.req.param('id')))));
}

/**
 * Returns the model that a request names; if it names none, the first that makes what is asked for, else the first.
 * @throws {ApiError} 404 if there is no such model, naming the nearest; 400 if it does not make what is asked for
 */
export function findModel(
  models: readonly ServedModel[],
  name: string | undefined,
  kind?: ModelEntry['kind'],
): ServedModel {
  const model =
    name === undefined
      ? (models.find(({ config }) => kindOf(config) === kind) ?? at(models, 0))
      : requireModel(models, name);
  const made = kindOf(model.config);
  if (kind !== undefined && made !== kind) {
    const use = made === 'video' ? `clips; use ${PATHS.videos}` : `pictures; use ${PATHS.images}`;
    invalid('model', `${model.id} makes ${use}`, 'wrong_model');
  }
  return model;
}

function requireModel(models: readonly ServedModel[], name: string): ServedModel {
  const found = models.find(({ id }) => id === name);
  if (found) return found;
  const ids = models.map(({ id }) => id);
  throw new ApiError(
    404,
    'model_not_found',
    `there is no model '${printable(name)}'${didYouMean(name, ids, (id) => `'${id}'`) || '.'} There are ${ids.join(', ')}`,
    { param: 'model' },
  );
}

function kindOf({ frames }: AcditConfig): ModelEntry['kind'] {
  return frames > 1 ? 'video' : 'image';
}

/** Returns the size of an image or frame as a text, such as `32x32`. */
export function sizeName(config: AcditConfig): string {
  const { width, height } = imageSize(config);
  return `${width}x${height}`;
}

function modelEntry({ id, config, tuned, created }: ServedModel): ModelEntry {
  const { preset, guidance } = resolveSettings(config, { tuned });
  const { scale, interval, schedule } = guidance;
  const shown = typeof scale === 'number' ? scale : [...scale];
  return {
    id,
    object: 'model',
    created,
    owned_by: 'acdit',
    kind: kindOf(config),
    ...imageSize(config),
    frames: config.frames,
    blocks: config.blocks,
    classes: config.classes,
    class_names: config.classNames ? [...config.classNames] : null,
    cfg_scale: shown,
    guidance: {
      scale: shown,
      ...(interval && { interval: [...interval] }),
      ...(schedule && { schedule }),
    },
    preset,
    tuned_steps: tuned ? tuned.solvers.map(({ steps }) => steps) : [],
    fast_steps: tuned?.defaultSteps ?? null,
    config: { ...config },
  };
}
