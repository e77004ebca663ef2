/** @file The sections of a recipe that do not change what is trained: its output, and how the model is scored. */

import { z } from 'zod';
import { guidanceSchema } from '../diffusion/guidance-schema.ts';
import { ConfigError } from '../errors.ts';
import { printable, printableList } from '../io/printable.ts';
import { didYouMean } from '../nearest.ts';

const count = z.int().positive();

/** A score as logs name it. */
const SCORE = /^(validation|evaluation)\/./;
const SCORE_FORM =
  'must be a score as the log names it, such as validation/ema/loss or evaluation/frechetDistance';

export const outputSchema = z.strictObject({
  folder: z.string().min(1),
  /** Optimizer steps between checkpoints, log lines, and sample grids (0: none). */
  checkpointEvery: count.default(500),
  /** Minutes after which a checkpoint is written at the end of the current step, besides those of `checkpointEvery`. */
  checkpointMinutes: z.number().positive().optional(),
  /** Newest checkpoints whose models are kept, each in a folder of its own (default: none; the run's folder has the newest). */
  keep: count.optional(),
  /** A score by which the best model is kept, such as `validation/ema/loss`, and whether less or more is better. */
  best: z
    .union([
      z.string().regex(SCORE, SCORE_FORM),
      z.strictObject({ metric: z.string().regex(SCORE, SCORE_FORM), mode: z.enum(['min', 'max']) }),
    ])
    .optional(),
  logEvery: count.default(10),
  /** Log the norm of the gradient of each group of weights too (default: false). */
  gradientNorms: z.boolean().optional(),
  sampleEvery: z.int().nonnegative().default(0),
  /**
   * Sampler of the grids: solver steps per block, and guidance, which becomes the model's default: as a scale at all noise
   * levels, `cfg`, or by noise level and block (default: the paper's scale).
   */
  sampleSteps: count.default(25),
  /** Weights that grids are drawn with: the averaged ones (default), or grids of the raw ones too. */
  sampleWeights: z.enum(['ema', 'both']).optional(),
  cfg: z.number().min(0).optional(),
  guidance: z.union([z.number().min(0), guidanceSchema]).optional(),
  /** Autoencoder that draws the grids of a model of latents; without it there are none. */
  vae: z.string().min(1).optional(),
});

export const evaluationSchema = z.strictObject({
  /** Optimizer steps between evaluations. */
  every: count,
  /** The network whose features are compared. */
  network: z.string().min(1),
  /** The `train` or `test` images of the data, or the path of another set. */
  reference: z.string().min(1).default('test'),
  /** How many images of the data are the reference, at most. */
  references: z.int().min(2).default(10_000),
  /** Images that the model makes. */
  samples: z.int().min(2).default(1000),
  /** Solver steps per block, and guidance scale at all noise levels (default: those of the sample grids). */
  steps: count.optional(),
  cfg: z.number().min(0).optional(),
});

export const validationSchema = z.strictObject({
  /** Optimizer steps between validations; the last step is validated too. */
  every: count,
  /** Held-out data, of the kind of the training data (default: that data). */
  path: z.string().min(1).optional(),
  /** Its split (default: test, or train if a path is given). */
  split: z.enum(['train', 'test']).optional(),
  /** How many samples, at most. */
  samples: count.default(256),
  /** Equally wide ranges of timesteps whose errors are logged. */
  timestepBins: z.int().min(1).max(1000).default(10),
  /** Seed of samples, timesteps and noise. */
  seed: z.int().nonnegative().default(0),
});

/** Scores of which more is better. */
const MORE_IS_BETTER = /precision|recall|density|coverage|accuracy|inceptionScore/i;

/** Reads `output.best`: the kind of score, its name without the kind, and what is better (default: by its name). */
export function bestScore(best: NonNullable<z.infer<typeof outputSchema>['best']>) {
  const { metric, mode = MORE_IS_BETTER.test(metric) ? 'max' : 'min' } =
    typeof best === 'string' ? { metric: best } : best;
  const [kind, score = ''] = metric.split(/\/(.*)/s);
  return { kind: kind === 'validation' ? kind : 'evaluation', score, mode } as const;
}

/**
 * Checks `output.best`: found later, a name that does not exist would end the training.
 * @param scores what this kind of score may be called, without the kind.
 * @throws {ConfigError} if it names another score of this kind
 */
export function requireBest(
  best: z.infer<typeof outputSchema>['best'],
  of: ReturnType<typeof bestScore>['kind'],
  scores: readonly string[],
): void {
  if (best === undefined) return;
  const { kind, score } = bestScore(best);
  if (kind !== of || scores.includes(score)) return;
  throw new ConfigError(
    `recipe: output.best names the score ${printable(score)}, which ${of} does not have; it has ${printableList(scores)}` +
      didYouMean(score, scores),
  );
}
