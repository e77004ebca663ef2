/** @file Training recipes: JSON files that say what to train, on what, and how. */

import { z } from 'zod';
import type { Dataset } from '../data/dataset.ts';
import { DATASET_KINDS } from '../data/kinds.ts';
import { NOISE_SCHEDULES, TRAIN_STEPS } from '../diffusion/noise-schedule.ts';
import { PREDICTIONS } from '../diffusion/prediction.ts';
import { ConfigError } from '../errors.ts';
import { plainIssues } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import {
  ACDIT_SIZES,
  type AcditConfig,
  PAPER_DOWNSAMPLING,
  POSITION_KINDS,
  validateConfig,
} from '../models/acdit/config.ts';
import { didYouMean } from '../nearest.ts';
import { defined } from '../records.ts';
import { LOSS_WEIGHTINGS } from './loss-weighting.ts';
import { attentionSchema, checkAttention, requireAttention } from './recipe-attention.ts';
import { bestScore, evaluationSchema, outputSchema, validationSchema } from './recipe-sections.ts';

const count = z.int().positive();
const share = z.number().min(0).max(1);
/** Decay rate of a moment; at 1 the bias correction would divide by zero. */
const beta = z.number().min(0).lt(1);

/** Logits of timesteps; beyond these bounds hardly any timestep would be drawn, or the weights of all would underflow. */
const logitNormalSchema = z.strictObject({
  mean: z.number().min(-5).max(5),
  deviation: z.number().min(0.05).max(10),
});

const modelSchema = z
  .strictObject({
    /** A size of the paper, or give layers, hidden and heads. */
    size: z.enum(['B', 'L', 'XL', 'H']).optional(),
    layers: count.optional(),
    hidden: count.optional(),
    heads: count.optional(),
    mlpRatio: z.number().positive().default(4),
    /** Side of the patch that makes one token. */
    patch: count,
    /** The autoregressive length: the number of blocks of an image or clip. */
    blocks: count,
    /**
     * Blocks are squares of the token grid, or else runs of tokens in row-major order (default: true for images, false
     * for clips).
     */
    squareBlocks: z.boolean().optional(),
    /** Default: the paper's, [1, 1] for images, [2, 3, 3] for clips. */
    positionSplit: z.array(count).min(2).max(3).optional(),
    /** How queries and keys know their places (default: nd, the paper's); see {@link POSITION_KINDS}. */
    positions: z.enum(POSITION_KINDS).optional(),
    /** What the network predicts; see {@link PREDICTIONS} (default: epsilon, the paper's). */
    prediction: z.enum(PREDICTIONS).optional(),
    /** Path from sample to noise (default: flow for the prediction flow, else linear, the paper's). */
    noiseSchedule: z.enum(NOISE_SCHEDULES).optional(),
    /** Factor of the schedule's noise-to-signal ratio; larger images need more noise (default: 1). */
    noiseShift: z.number().positive().optional(),
    /** Timestep to which the blocks that others attend are noised, in training and in sampling (default: 0, none). */
    contextNoise: z.int().nonnegative().lt(TRAIN_STEPS).optional(),
    /**
     * Which blocks attend which (default: skip-causal, the paper's): a name, a window, a table, or the path of a module, which
     * `loadAttention` replaces by its table.
     */
    attention: attentionSchema,
  })
  .superRefine(checkAttention);

const dataSchema = z
  .strictObject({
    path: z.string().min(1),
    kind: z.enum(DATASET_KINDS).optional(),
    split: z.enum(['train', 'test']).default('train'),
    /** Side of the square training images and frames in pixels, or of those that latents were encoded from. */
    imageSize: count.optional(),
    /** Turn images upright by their EXIF orientation; by default pixels are read as they are stored. */
    exifOrientation: z.boolean().optional(),
    /** Images, or frames of videos, with more pixels than this count as corrupt (default: 100 million). */
    maxPixels: count.optional(),
    /** Channels of the images (default: 3; 1 for IDX files). */
    channels: z.union([z.literal(1), z.literal(3)]).optional(),
    /** Mirror half of the images. */
    flip: z.boolean().default(false),
    /** Pad by this many pixels and cut out at a random place. */
    crop: z.int().nonnegative().default(0),
    classNames: z.array(z.string()).optional(),
    /** Frames per clip: the data is videos, or images set in motion. */
    frames: count.optional(),
    /** For videos: the frame stride. */
    frameInterval: count.optional(),
    /** For UCF-101: which of its pairs of lists. */
    fold: z.int().min(1).max(3).optional(),
    /** For moving items: how many per clip, their side in pixels, and the slowest and fastest in pixels per frame. */
    items: count.optional(),
    itemSize: count.optional(),
    speed: z.tuple([z.number().nonnegative(), z.number().nonnegative()]).optional(),
    /** Share of the samples that is never trained on, but validated on (default: none), and the seed of the choice. */
    holdOut: z.number().gt(0).lt(1).optional(),
    holdOutSeed: z.int().nonnegative().optional(),
  })
  .refine(({ holdOut, holdOutSeed }) => holdOut !== undefined || holdOutSeed === undefined, {
    path: ['holdOutSeed'],
    error: 'chooses samples that are held out; give their share as data.holdOut',
  });

const trainingSchema = z
  .strictObject({
    steps: count,
    /** Samples per micro-batch: what is in memory at once; `auto` is as many as fit into `memory` when the run begins. */
    batch: z.union([count, z.literal('auto')], {
      error: 'Invalid input: expected a positive integer or "auto"',
    }),
    /** Gigabytes that `auto` may fill (default: 80% of what this process may use). */
    memory: z.number().positive().optional(),
    /** Micro-batches per optimizer step. */
    accumulate: count.default(1),
    learningRate: z.number().positive().default(3e-4),
    schedule: z.enum(['constant', 'cosine', 'wsd']).default('wsd'),
    warmupSteps: z.int().nonnegative().default(0),
    /** Share of the steps over which wsd decays. */
    decayFraction: share.default(0.15),
    betas: z.tuple([beta, beta]).default([0.9, 0.95]),
    epsilon: z.number().positive().default(1e-8),
    weightDecay: z.number().nonnegative().default(0),
    /** Largest gradient norm. */
    clip: z.number().positive().default(1),
    /** Decay of the moving average of the weights, the ones that are shipped. */
    ema: share.default(0.9999),
    /** Share of samples trained without their label, for guidance. */
    labelDrop: share.default(0.1),
    /** How much each timestep's loss counts; see {@link LOSS_WEIGHTINGS} (default: all alike, as in the paper). */
    lossWeighting: z.enum(LOSS_WEIGHTINGS).default('uniform'),
    /** Which timesteps are drawn: all alike, or logit-normally as shares of the schedule, from sample to noise. */
    timesteps: z.union([z.literal('uniform'), logitNormalSchema]).default('uniform'),
    /** What has a timestep of its own: each block, as in the paper, or each sample (default: block; sample for full attention). */
    timestepPer: z.enum(['block', 'sample']).optional(),
    seed: z.int().nonnegative().default(0),
    /** A model to begin with the weights of, instead of random ones. */
    initFrom: z.string().min(1).optional(),
    /** `save` is fastest; `recompute` takes the least memory; or the layers that are computed again, or their number. */
    activations: z
      .union([
        z.enum(['save', 'recompute']),
        z.strictObject({ recompute: z.union([count, z.array(z.int().nonnegative())]) }),
      ])
      .default('save'),
  })
  .refine(({ steps, warmupSteps }) => warmupSteps <= steps, {
    path: ['warmupSteps'],
    error: 'must be at most steps',
  });

const recipeSchema = z
  .strictObject({
    model: modelSchema,
    data: dataSchema,
    training: trainingSchema,
    output: outputSchema,
    evaluation: evaluationSchema.optional(),
    validation: validationSchema.optional(),
  })
  .refine(({ evaluation, data }) => !evaluation || (data.frames ?? 1) === 1, {
    path: ['evaluation'],
    error: 'compares images, and the data is clips; leave it out',
  })
  .refine(({ output, ...sections }) => !output.best || sections[bestScore(output.best).kind] !== undefined, {
    path: ['output', 'best'],
    error: 'names a score of validation or evaluation, which the recipe does not have; add that section',
  })
  .refine(({ output }) => output.cfg === undefined || output.guidance === undefined, {
    path: ['output', 'cfg'],
    error: 'give the scale as output.guidance.scale, or leave output.guidance out',
  });

const schema = recipeSchema.transform((recipe) => {
  const clips = recipe.data.frames !== undefined && recipe.data.frames > 1;
  const { squareBlocks = !clips, positionSplit = clips ? [2, 3, 3] : [1, 1], ...model } = recipe.model;
  const { cfg = clips ? 2.5 : 1.5, guidance = cfg, ...output } = recipe.output;
  const { timestepPer = model.attention === 'full' ? 'sample' : 'block', ...training } = recipe.training;
  return {
    ...recipe,
    model: { ...model, squareBlocks, positionSplit },
    training: { ...training, timestepPer },
    output: { ...output, guidance },
  };
});

/** A checked recipe, with all defaults, whose batch may still be `auto`. */
export type RecipeDraft = z.infer<typeof schema>;

/** A checked recipe, with all defaults. */
export type Recipe = Omit<RecipeDraft, 'training'> & {
  readonly training: Omit<RecipeDraft['training'], 'batch'> & { readonly batch: number };
};

/** Keys of the schema at a path, for suggestions. */
function keysAt(path: readonly PropertyKey[]): string[] {
  if (path.length === 0) return Object.keys(recipeSchema.shape);
  const section = recipeSchema.shape[path[0] as keyof typeof recipeSchema.shape];
  if (!section || path.length > 1) return [];
  return Object.keys((section instanceof z.ZodOptional ? section.unwrap() : section).shape);
}

/** Problems, or keys of one problem, that a message names. */
const SHOWN_PROBLEMS = 8;
/** Characters of a schema's message. */
const PROBLEM_LENGTH = 160;

/** Joins the first texts, and says how many more there are. */
function someOf(texts: readonly string[], separator: string): string {
  const shown = texts.slice(0, SHOWN_PROBLEMS);
  if (texts.length > shown.length) shown.push(`and ${texts.length - shown.length} more`);
  return shown.join(separator);
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const at = printable(issue.path.join('.') || 'recipe');
  if (issue.code !== 'unrecognized_keys') return `${at}: ${printable(issue.message, PROBLEM_LENGTH)}`;
  const known = keysAt(issue.path);
  const quoted = (key: string): string => `'${key}'`;
  const advice = (key: string): string =>
    didYouMean(key, known, quoted) || (known.length > 0 ? `; the keys here are ${known.join(', ')}` : '');
  const unknown = issue.keys.map(
    (key) => `unknown key '${printable([...issue.path, key].join('.'))}'${advice(key)}`,
  );
  return someOf(unknown, ' ');
}

/**
 * Check a parsed recipe and fill in defaults.
 * @throws {ConfigError} naming the first unknown keys, each with the nearest valid one, and the first wrong values; or if
 * its batch is `auto`, which {@link parseRecipeDraft} accepts.
 */
export function parseRecipe(json: unknown, name = 'recipe'): Recipe {
  const draft = parseRecipeDraft(json, name);
  const { batch } = draft.training;
  if (batch !== 'auto') return withBatch(draft, batch);
  throw new ConfigError(
    `${name}: training.batch: "auto" becomes a number when acdit train or trainModel starts a run; give a number here`,
  );
}

/** Checks a recipe like {@link parseRecipe}, for `trainModel`, which replaces a batch of `auto` by a number. */
export function parseRecipeDraft(json: unknown, name = 'recipe'): RecipeDraft {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new ConfigError(`${name}: ${someOf(plainIssues(result.error.issues).map(describeIssue), '; ')}`);
}

/** Returns a recipe with this batch. */
export function withBatch(draft: RecipeDraft, batch: number): Recipe {
  return { ...draft, training: { ...draft.training, batch } };
}

/** The parts of a recipe that determine a run's result. */
export type RecipeSettings = Pick<Recipe, 'model' | 'data' | 'training'>;

/** Parses recorded settings, with defaults for new keys; undefined if they are not valid. */
export function parseSettings(json: unknown): RecipeSettings | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { data } = schema.safeParse({ ...json, output: { folder: '.' } });
  return data && data.training.batch !== 'auto' ? withBatch(data, data.training.batch) : undefined;
}

/** Whether a reference is a split of the data rather than a path. */
export function isSplit(reference: string): reference is 'train' | 'test' {
  return reference === 'train' || reference === 'test';
}

/** What a model must know of the data that it learns. */
export type DatasetTraits = Pick<Dataset, 'classNames' | 'sampleShape' | 'autoencoder'>;

/** The model that a recipe trains on such data. @throws {ConfigError} if they do not fit. */
export function recipeModel(recipe: RecipeDraft, data: DatasetTraits): AcditConfig {
  const { model } = recipe;
  const { prediction, noiseSchedule, noiseShift, contextNoise, positions } = model;
  const attention = requireAttention(model.attention, recipe.training.timestepPer);
  const { classNames, autoencoder } = data;
  const [frames, channels, height, width] = data.sampleShape;
  const named = model.size ? ACDIT_SIZES[model.size] : undefined;
  const { layers = named?.layers, hidden = named?.hidden, heads = named?.heads } = model;
  if (!layers || !hidden || !heads)
    throw new ConfigError('recipe: model needs a size, or layers, hidden and heads');
  const tokens = frames * (height / model.patch) * (width / model.patch);
  if (height % model.patch !== 0 || width % model.patch !== 0 || tokens % model.blocks !== 0) {
    throw new ConfigError(
      `recipe: ${frames > 1 ? `${frames} frames of ` : ''}${autoencoder ? 'latents' : 'images'} ` +
        `of ${height} x ${width} in patches of ${model.patch} ` +
        `do not divide into ${model.blocks} blocks`,
    );
  }
  return validateConfig({
    modelType: 'acdit',
    layers,
    hidden,
    heads,
    mlpRatio: model.mlpRatio,
    classes: classNames.length,
    classNames,
    space: autoencoder ? 'latents' : 'pixels',
    channels,
    frames,
    ...(autoencoder && latentFields(autoencoder)),
    height,
    width,
    patch: model.patch,
    blockSize: tokens / model.blocks,
    blocks: model.blocks,
    squareBlocks: model.squareBlocks,
    positionSplit: model.positionSplit,
    ...defined({ prediction, noiseSchedule, noiseShift, contextNoise, positions, attention }),
    guidance: recipe.output.guidance,
  });
}

function latentFields({ downsampling, ...autoencoder }: NonNullable<DatasetTraits['autoencoder']>) {
  return { autoencoder, ...(downsampling !== PAPER_DOWNSAMPLING && { downsampling }) };
}
