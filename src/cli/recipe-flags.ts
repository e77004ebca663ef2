/** @file The recipe of `acdit train`: a JSON file, flags that replace parts of it, or flags alone. */

import { readFile } from 'node:fs/promises';
import { ArgumentError, ConfigError } from '../errors.ts';
import { parseJson } from '../io/json.ts';
import { parseRecipe, type Recipe } from '../training/recipe.ts';
import type { Flags, FlagValues } from './flags.ts';
import { pixelFlags } from './pixel-flags.ts';

/** Short names of what is changed most. */
const SHORT_NAMES = {
  data: 'data.path',
  out: 'output.folder',
  steps: 'training.steps',
  batch: 'training.batch',
  accumulate: 'training.accumulate',
  'learning-rate': 'training.learningRate',
  seed: 'training.seed',
  'exif-orientation': 'data.exifOrientation',
  'max-pixels': 'data.maxPixels',
} as const;

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

export const recipeFlags = {
  data: { value: 'DIR', help: 'dataset: image folder, IDX files or latents (data.path)' },
  out: { value: 'DIR', help: 'folder of the run (output.folder)' },
  steps: { value: 'N', help: 'optimizer steps (training.steps)' },
  batch: { value: 'N', help: 'samples per micro-batch (training.batch)' },
  accumulate: { value: 'N', help: 'micro-batches per step (training.accumulate)' },
  'learning-rate': { value: 'X', help: 'maximum learning rate (training.learningRate)' },
  seed: { value: 'N', help: 'random seed of weights, noise and order (training.seed)' },
  'exif-orientation': {
    help: 'turn images upright by EXIF orientation (data.exifOrientation; default: false)',
  },
  ...pixelFlags,
} as const satisfies Flags;

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
    ...Object.entries(SHORT_NAMES).flatMap(([name, key]) => {
      const value = short[name as keyof typeof SHORT_NAMES];
      return value === undefined || value === false ? [] : [[key, String(value)] as const];
    }),
  ];
  if (path === undefined && overrides.length === 0) {
    throw new ArgumentError('train needs a RECIPE.json, such as recipes/fashion-mnist.json, or flags');
  }
  const base = path === undefined ? emptyRecipe() : await readJson(path);
  for (const [key, value] of overrides) replace(base, key, value);
  return parseRecipe(base, path ?? 'flags');
}

function emptyRecipe(): JsonObject {
  return { model: {}, data: {}, training: {}, output: {} };
}

async function readJson(path: string): Promise<JsonObject> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ArgumentError(`recipe ${path} cannot be read (${cause.code}); give a JSON file`, { cause });
  });
  const json = parseJson(text, path, ConfigError);
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as JsonObject;
  throw new ConfigError(`${path}: a recipe is a JSON object with model, data, training and output`);
}

function replace(recipe: JsonObject, key: string, value: string): void {
  const [section, name] = [key.slice(0, key.indexOf('.')), key.slice(key.indexOf('.') + 1)];
  const before = recipe[section] ?? {};
  if (typeof before !== 'object') return; // checking the recipe says so
  recipe[section] = { ...before, [name]: TEXT_KEYS.has(key) ? value : parseValue(value) };
}

/** Numbers, true, false and lists as JSON; the rest as text. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
