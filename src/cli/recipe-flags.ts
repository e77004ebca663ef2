/** @file The recipe of `acdit train`: a JSON file, flags that replace parts of it, or flags alone. */

import { readFile } from 'node:fs/promises';
import { attempt } from '../attempt.ts';
import { ArgumentError, ConfigError } from '../errors.ts';
import { isRecord, parseJson } from '../io/json.ts';
import { parseRecipe, type Recipe } from '../training/recipe.ts';
import { type FlagValues, optionName } from './flags.ts';
import { pixelFlags } from './shared-flags.ts';

/** Any key of a recipe: `--training.warmupSteps 100`. */
export const RECIPE_KEY = /^(model|data|training|output|evaluation)\./;

/** Texts even if they look like numbers. */
const TEXT_KEYS = new Set([
  'data.path',
  'training.initFrom',
  'output.folder',
  'output.vae',
  'evaluation.network',
  'evaluation.reference',
]);

/** Short names of what is changed most, each with its key. */
export const recipeFlags = {
  data: shortFlag('data.path', 'DIR', 'dataset: image folder, IDX files or latents'),
  out: shortFlag('output.folder', 'DIR', 'folder of the run'),
  steps: shortFlag('training.steps', 'N', 'optimizer steps'),
  batch: shortFlag('training.batch', 'N', 'samples per micro-batch'),
  accumulate: shortFlag('training.accumulate', 'N', 'micro-batches per step'),
  'learning-rate': shortFlag('training.learningRate', 'X', 'maximum learning rate'),
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

/**
 * Read a recipe, replace what flags say, and check the whole.
 * @param path the JSON file; without it all must come from flags.
 * @throws {ArgumentError} if the file cannot be read; {ConfigError} if the recipe is not valid.
 */
export async function readRecipe(
  path: string | undefined,
  short: FlagValues<typeof recipeFlags>,
  dotted: readonly (readonly [key: string, value: string])[],
): Promise<Recipe> {
  const overrides = [
    ...dotted,
    ...Object.entries(recipeFlags).flatMap(([name, { key }]) => {
      const value = short[optionName(name) as keyof typeof short];
      return value === undefined || value === false ? [] : [[key, String(value)] as const];
    }),
  ];
  if (path === undefined && overrides.length === 0) {
    throw new ArgumentError('train needs a RECIPE.json, such as recipes/fashion-mnist.json, or flags');
  }
  const empty = { model: {}, data: {}, training: {}, output: {} };
  const base: JsonObject = path === undefined ? empty : await readJson(path);
  for (const [key, value] of overrides) replace(base, key, value);
  return parseRecipe(base, path ?? 'flags');
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
  const [section, name] = [key.slice(0, key.indexOf('.')), key.slice(key.indexOf('.') + 1)];
  const before = recipe[section] ?? {};
  if (typeof before !== 'object') return; // checking the recipe says so
  // Numbers, true, false and lists are JSON; the rest is text.
  const parsed: unknown = TEXT_KEYS.has(key) ? value : attempt(() => JSON.parse(value), value);
  recipe[section] = { ...before, [name]: parsed };
}
