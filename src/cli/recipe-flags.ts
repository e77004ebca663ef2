/** @file The recipe of `acdit train`: a JSON file, flags that replace parts of it, or flags alone. */

import { readFile } from 'node:fs/promises';
import { attempt } from '../attempt.ts';
import { ArgumentError, ConfigError } from '../errors.ts';
import { isRecord, parseJson } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { recipeOfRun } from '../runs/run-record.ts';
import { loadAttention } from '../training/attention-module.ts';
import { parseRecipeDraft, type RecipeDraft } from '../training/recipe.ts';
import { type FlagValues, optionName } from './flags.ts';
import { pixelFlags } from './shared-flags.ts';

/** Any key of a recipe: `--training.warmupSteps 100`, or a section that may be left out: `--evaluation null`. */
export const RECIPE_KEY = /^(model|data|training|output|evaluation|validation)\.|^(evaluation|validation)$/;

/** Texts even if they look like numbers. */
const TEXT_KEYS = new Set([
  'data.path',
  'training.initFrom',
  'output.folder',
  'output.vae',
  'evaluation.network',
  'evaluation.reference',
  'validation.path',
]);

/** Short names of what is changed most, each with its key. */
export const recipeFlags = {
  data: shortFlag('data.path', 'DIR', 'folder of images, videos or latents, or IDX files'),
  out: shortFlag('output.folder', 'DIR', 'folder of the run'),
  steps: shortFlag('training.steps', 'N', 'optimizer steps'),
  batch: shortFlag('training.batch', 'N', 'samples per micro-batch'),
  accumulate: shortFlag('training.accumulate', 'N', 'micro-batches per step'),
  'learning-rate': shortFlag('training.learningRate', 'X', 'peak learning rate'),
  seed: shortFlag('training.seed', 'N', 'random seed of weights, noise and order'),
  'exif-orientation': {
    key: 'data.exifOrientation',
    help: 'turn images upright by EXIF orientation (data.exifOrientation; default: false)',
  },
  'max-pixels': { key: 'data.maxPixels', ...pixelFlags['max-pixels'] },
} as const;

function shortFlag(key: string, value: string, help: string) {
  return { key, value, help: `${help} (${key})` };
}

type JsonObject = Record<string, unknown>;

/** Where a recipe comes from: a file, a run, or flags alone. */
export interface RecipeSource {
  /** The JSON file. */
  readonly path: string | undefined;
  /** Folder of the run whose recipe another run begins with. */
  readonly from: string | undefined;
}

/**
 * Read a recipe, replace what flags say, and check the whole. A module that it names as attention is loaded.
 * @throws {ArgumentError} if the file cannot be read, or the folder is not that of a run; {ConfigError} if the recipe is not
 * valid.
 */
export async function readRecipe(
  { path, from }: RecipeSource,
  short: Partial<FlagValues<typeof recipeFlags>>,
  dotted: readonly (readonly [key: string, value: string])[],
): Promise<RecipeDraft> {
  const overrides = [
    ...dotted,
    ...Object.entries(recipeFlags).flatMap(([name, { key }]) => {
      const value = short[optionName(name) as keyof typeof short];
      return value === undefined || value === false ? [] : [[key, String(value)] as const];
    }),
  ];
  if (path !== undefined && from !== undefined) {
    throw new ArgumentError('give either a RECIPE.json or --from RUN, not both');
  }
  if (path === undefined && from === undefined && overrides.length === 0) {
    throw new ArgumentError(
      'train needs a RECIPE.json, such as recipes/fashion-mnist.json, --from RUN, or flags',
    );
  }
  if (from !== undefined && !overrides.some(([key]) => key === 'output.folder')) {
    throw new ArgumentError('--from starts another run; give its folder with --out');
  }
  const base = await baseRecipe({ path, from });
  for (const [key, value] of overrides) replace(base, key, value);
  const name = path ?? (from === undefined ? 'flags' : `recipe of ${printable(from)}`);
  return loadAttention(parseRecipeDraft(base, name));
}

async function baseRecipe({ path, from }: RecipeSource): Promise<JsonObject> {
  if (from !== undefined) return recipeOfRun(from);
  return path === undefined ? { model: {}, data: {}, training: {}, output: {} } : readJson(path);
}

async function readJson(path: string): Promise<JsonObject> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ArgumentError(`recipe ${path} cannot be read (${cause.code}); give a JSON file`, { cause });
  });
  const json = parseJson(text, path, ConfigError);
  if (isRecord(json)) return json;
  throw new ConfigError(`${path}: a recipe is a JSON object with model, data, training and output`);
}

function replace(recipe: JsonObject, key: string, value: string): void {
  // Numbers, true, false, null and lists are JSON; the rest is text.
  const parsed: unknown =
    TEXT_KEYS.has(key) && value !== 'null' ? value : attempt(() => JSON.parse(value), value);
  const [section = '', name] = key.split(/\.(.*)/s);
  if (name === undefined) {
    recipe[section] = parsed ?? undefined;
    return;
  }
  const before = recipe[section] ?? {};
  if (!isRecord(before)) return; // checking the recipe says so
  recipe[section] = { ...before, [name]: parsed ?? undefined };
}
