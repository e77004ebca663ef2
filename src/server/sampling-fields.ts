/** @file Fields that say how samples are made, which all requests for them have. */

import { z } from 'zod';
import { guidanceSchema } from '../diffusion/guidance-schema.ts';
import { solverChoices } from '../diffusion/solvers/index.ts';
import { TIMESTEP_SPACINGS } from '../diffusion/timesteps.ts';
import { PRESETS } from '../models/acdit/config.ts';
import { MAX_BLOCKS } from '../sampling/request.ts';

/** Max values in a request; a server's own limits are lower. */
export const MAX = { samples: 64, steps: 1000, blocks: MAX_BLOCKS } as const;

/** Makes a field optional; null, as in OpenAI's clients, means that it is left out. */
export const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);

/** Makes a field optional, with a default. */
export const withDefault = <T extends z.ZodType>(schema: T, value: z.output<T>) =>
  schema
    .nullish()
    .meta({ default: value })
    .transform((given): z.output<T> => given ?? value);

/** Makes a value one for all blocks, or a list of one per block. */
export const perBlock = <T extends z.ZodType>(value: T) =>
  z.union([value, z.array(value).min(1).max(MAX.blocks)]);

/** Samples of a request. */
export const sampleCount = (most: number) =>
  withDefault(z.int().min(1).max(most), 1).describe('number of samples');

/** Solver steps of each block. */
export const stepCount = (most: number) =>
  optional(perBlock(z.int().min(1).max(most))).describe(
    "solver steps per block (default: the preset's; exact: 25, fast: the tuned solver's own)",
  );

const timestepList = z
  .array(
    z
      .int()
      .min(0)
      .max(MAX.steps - 1),
  )
  .min(1)
  .max(MAX.steps);

/** Where the network is evaluated. */
const timesteps = optional(
  z.union([z.enum(TIMESTEP_SPACINGS), timestepList, z.array(timestepList).min(1).max(MAX.blocks)]),
).describe(
  "uniform, logsnr (spaced evenly in log signal-to-noise), a falling list, or one such list per block (default: the preset's)",
);

/** A class by its name or number; `none` means no class. */
export const classSchema = z
  .union([z.string().min(1).max(256), z.int()])
  .describe(
    'a class of the model: a text means the class with that name, else the only one with a similar spelling, else the one ' +
      'with that number; a number is always the number of a class; "none" means no class',
  );

/** How sampling is done; each has a default. */
export const samplingFields = {
  model: optional(z.string().min(1).max(200)).describe(
    'one of those listed at /v1/models (default: the first)',
  ),
  n: sampleCount(MAX.samples),
  seed: optional(z.int().min(0)).describe('the same seed gives the same samples (default: random)'),
  preset: optional(z.enum(PRESETS)).describe(
    "defaults of the rest: exact, or fast, the steps and guidance of the model's tuned solver (default: the model's own)",
  ),
  steps: stepCount(MAX.steps),
  timesteps,
  cfg_scale: optional(perBlock(z.number().min(0).max(100))).describe(
    "guidance scale (default: the preset's)",
  ),
  guidance: optional(guidanceSchema.partial()).describe(
    'guidance by noise level and block, instead of cfg_scale: scale; interval, the log signal-to-noise ratios between which ' +
      "it applies; schedule, constant or linear over blocks (default: the preset's)",
  ),
  solver: optional(z.enum(solverChoices)),
  context_noise: optional(
    z
      .int()
      .min(0)
      .max(MAX.steps - 1),
  ).describe(
    'timestep up to which finished blocks are noised before others attend them; 0: not at all (default: as in training)',
  ),
  size: optional(
    z.string().regex(/^(auto|[1-9]\d{0,4}x[1-9]\d{0,4})$/, 'must be auto or WIDTHxHEIGHT'),
  ).describe(
    "auto, the model's own size, or a size of OpenAI's API, which stands for the model's own; the response has the actual size",
  ),
};
