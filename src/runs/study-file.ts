/** @file A study's file: a recipe, axes of changes, and seeds, which together are a matrix of runs. */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../attempt.ts';
import { ArgumentError, ConfigError } from '../errors.ts';
import { isRecord, parseJson, parseJsonOf } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { trainingCost } from '../models/acdit/cost.ts';
import { loadAttention } from '../training/attention-module.ts';
import { type DatasetTraits, parseRecipe, type Recipe, recipeModel } from '../training/recipe.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** Keys of a recipe with their values, such as `model.blocks`; null removes one. */
const changesSchema = z.record(z.string(), z.unknown());

const axisSchema = z.union(
  [
    z.strictObject({
      key: z.string().min(1),
      name: z.string().min(1).optional(),
      values: z.array(z.unknown()).min(1),
    }),
    z.strictObject({ name: z.string().min(1), values: z.record(z.string().min(1), changesSchema) }),
  ],
  { error: 'an axis has a key and a list of values, or a name and changes by their names' },
);

const metricSchema = z.union(
  [
    z.string().min(1),
    z.strictObject({
      /** What the log of a run calls it, or a figure of the study. */
      name: z.string().min(1),
      label: z.string().min(1).optional(),
      /** Draw powers of ten at equal distances. */
      logarithmic: z.boolean().optional(),
    }),
  ],
  { error: 'a metric is a name, or an object with a name, a label and logarithmic' },
);

const studySchema = z.strictObject({
  title: z.string().min(1),
  folder: z.string().min(1),
  /** A recipe, or the path of one, from the file. Its output.folder is not used. */
  base: z.union([z.string().min(1), z.record(z.string(), z.unknown())]),
  axes: z.array(axisSchema).min(1),
  /** Seeds of the training; every combination runs with each. */
  seeds: z.array(z.int().nonnegative()).min(1).default([0]),
  /** Operations that each model is trained for, instead of training.steps. */
  operations: z.number().positive().optional(),
  /** Whether models are trained; otherwise the cost of sampling is measured with random weights. */
  train: z.boolean().default(true),
  /** Measures the cost of a sample: the best of `repeats`, each of `samples` at once. */
  sampling: z
    .strictObject({
      samples: z.int().positive().default(1),
      steps: z.int().positive().default(25),
      cfg: z.number().min(0).default(1),
      repeats: z.int().positive().default(3),
    })
    .optional(),
  metrics: z.array(metricSchema).min(1),
});

/** An axis of a study: what its values are called, and what they change. */
export interface StudyAxis {
  readonly name: string;
  readonly values: readonly { readonly label: string; readonly changes: JsonObject }[];
  /** Whether the values are numbers, between which a line may be drawn. */
  readonly isNumeric: boolean;
}

/** A number that a study reports of each run. */
export interface StudyMetric {
  readonly name: string;
  readonly label: string;
  readonly logarithmic: boolean;
}

/** A study as its file describes it. */
export interface Study extends Omit<z.infer<typeof studySchema>, 'base' | 'axes' | 'metrics'> {
  readonly base: JsonObject;
  readonly axes: readonly StudyAxis[];
  readonly metrics: readonly StudyMetric[];
}

/** Share of the steps, at the end, over which the training loss is averaged; each run logs at least one line in it. */
export const LAST_SHARE = 0.1;

/** One run of a study. */
export interface StudyRun {
  /** Name of its folder in the study's. */
  readonly name: string;
  /** Its value on each axis. */
  readonly labels: readonly string[];
  readonly seed: number;
  readonly recipe: Recipe;
  readonly config: AcditConfig;
  /** Operations of its training: twice the multiply-adds. */
  readonly operations: number;
}

/** Reads a study. @throws {ArgumentError} if the file cannot be read; {ConfigError} if it does not describe a study. */
export async function readStudy(path: string): Promise<Study> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ArgumentError(`study ${path} cannot be read (${cause.code}); give a JSON file`, { cause });
  });
  const { base, axes, metrics, ...study } = parseJsonOf(text, path, studySchema, 'not a study', ConfigError);
  const recipe = typeof base === 'string' ? await readBase(resolve(dirname(path), base)) : base;
  const result = { ...study, base: recipe, axes: axes.map(axisOf), metrics: metrics.map(metricOf) };
  requireSense(result, path);
  return result;
}

async function readBase(path: string): Promise<JsonObject> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ArgumentError(`the study's base ${path} cannot be read (${cause.code}); give a recipe`, {
      cause,
    });
  });
  const recipe = parseJson(text, path, ConfigError);
  if (isRecord(recipe)) return recipe;
  throw new ConfigError(`${path}: a recipe is a JSON object with model, data, training and output`);
}

function axisOf(axis: z.infer<typeof axisSchema>): StudyAxis {
  if ('key' in axis) {
    const { key, name = key.split('.').slice(1).join('.') || key, values } = axis;
    const labelOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
    return {
      name,
      values: values.map((value) => ({ label: labelOf(value), changes: { [key]: value } })),
      isNumeric: values.every((value) => typeof value === 'number'),
    };
  }
  const values = Object.entries(axis.values).map(([label, changes]) => ({ label, changes }));
  return { name: axis.name, values, isNumeric: false };
}

function metricOf(metric: z.infer<typeof metricSchema>): StudyMetric {
  const { name, label = name, logarithmic = false } = typeof metric === 'string' ? { name: metric } : metric;
  return { name, label, logarithmic };
}

/** @throws {ConfigError} if the study's parts do not fit together. */
function requireSense(study: Study, path: string): void {
  const { base, axes, operations, train, sampling } = study;
  const fail = (problem: string): never => {
    throw new ConfigError(`${path}: ${problem}`);
  };
  const names = axes.map(({ name }) => name);
  if (new Set(names).size !== names.length) fail('two axes have the same name; give them different ones');
  if (axes.some(({ values }) => values.length === 0)) fail('an axis has no values');
  const { steps } = isRecord(base.training) ? base.training : {};
  if (train && (operations === undefined) === (steps === undefined)) {
    fail('give either operations or training.steps of the base, which end each training');
  }
  if (!train && (sampling === undefined || operations !== undefined)) {
    fail('a study without training measures sampling: give sampling, and no operations');
  }
  requireSeparateKeys(study, fail);
}

/** Checks that axes change different keys, and none that the study sets: a run would not be what its name says. */
function requireSeparateKeys({ axes, operations, train }: Study, fail: (problem: string) => never): void {
  const owned: Readonly<Record<string, string>> = {
    'training.seed': "the study's seeds set",
    'output.folder': "the study's folder sets",
    ...(operations !== undefined && { 'training.steps': "the study's operations set" }),
    ...(!train && { 'training.steps': 'a study without training does not use' }),
  };
  const owners = new Map<string, string>();
  for (const { name, values } of axes) {
    const keys = new Set(values.flatMap(({ changes }) => Object.keys(changes)));
    for (const key of keys) {
      const owner = Object.hasOwn(owned, key) ? owned[key] : undefined;
      if (owner !== undefined) fail(`the axis ${printable(name)} changes ${key}, which ${owner}`);
      for (const [other, axis] of owners) {
        if (!overlap(key, other)) continue;
        fail(
          `the axes ${printable(axis)} and ${printable(name)} both change ${printable(longest(key, other))}; ` +
            'let one axis change it, by named values if it goes with other changes',
        );
      }
    }
    for (const key of keys) owners.set(key, name);
  }
}

/** Whether two keys are the same, or one is a section of the other's. */
function overlap(a: string, b: string): boolean {
  return `${a}.`.startsWith(`${b}.`) || `${b}.`.startsWith(`${a}.`);
}

function longest(a: string, b: string): string {
  return a.length > b.length ? a : b;
}

/**
 * Returns the runs of a study, seed by seed, so that an unfinished study has all combinations.
 * @param traitsOf opens the data of a recipe, whose shape the operations depend on.
 * @throws {ConfigError} naming the run whose recipe is not valid.
 */
export async function studyRuns(
  study: Study,
  traitsOf: (data: Recipe['data']) => Promise<DatasetTraits>,
): Promise<StudyRun[]> {
  const runs: StudyRun[] = [];
  for (const seed of study.seeds) {
    for (const chosen of combinations(study.axes)) {
      const run = await runOf(study, chosen, seed, traitsOf);
      // Some file systems do not distinguish upper and lower case.
      const same = runs.find(({ name }) => name.toLowerCase() === run.name.toLowerCase());
      if (same) {
        throw new ConfigError(
          `two runs of the study are called ${run.name}; give each seed and each value of an axis once, and values names ` +
            'that differ in more than case or punctuation',
        );
      }
      runs.push(run);
    }
  }
  return runs;
}

type Choice = StudyAxis['values'][number];

function combinations(axes: readonly StudyAxis[]): Choice[][] {
  return axes.reduce<Choice[][]>(
    (found, { values }) => found.flatMap((choices) => values.map((value) => [...choices, value])),
    [[]],
  );
}

/** More steps than any training takes, until their number is known. */
const ANY_STEPS = 1e12;

async function runOf(
  study: Study,
  choices: readonly Choice[],
  seed: number,
  traitsOf: (data: Recipe['data']) => Promise<DatasetTraits>,
): Promise<StudyRun> {
  const labels = choices.map(({ label }) => label);
  const name = runName(study.axes.map(({ name }, i) => `${name}-${labels[i]}`).join('_'), seed);
  const changes = choices.flatMap((choice) => Object.entries(choice.changes));
  const own = [
    ['training.seed', seed],
    ['output.folder', join(study.folder, name)],
  ] as const;
  const json = [...changes, ...own].reduce((recipe, [key, value]) => changed(recipe, key, value), study.base);
  const parse = (steps: number): Promise<Recipe> =>
    loadAttention(parseRecipe(withSteps(json, study, steps), `run ${name}`));
  const unlimited = await parse(ANY_STEPS);
  const traits = await traitsOf(unlimited.data);
  const config = named(name, () => recipeModel(unlimited, traits));
  const { batch, accumulate } = unlimited.training;
  const perStep = 2 * trainingCost(config) * batch * accumulate;
  const { operations } = study;
  const recipe =
    operations === undefined ? unlimited : await parse(Math.max(1, Math.round(operations / perStep)));
  const { output, training } = recipe;
  const logEvery = Math.min(output.logEvery, Math.max(1, Math.floor(LAST_SHARE * training.steps)));
  return {
    name,
    labels,
    seed,
    recipe: { ...recipe, output: { ...output, logEvery } },
    config,
    operations: study.train ? perStep * recipe.training.steps : 0,
  };
}

/** Names the run in an error. */
function named<T>(run: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new ConfigError(`run ${run}: ${messageOf(cause)}`, { cause });
  }
}

/** Bytes of a name that is used as it is; file systems allow 255. */
const NAME_BYTES = 160;
/** Characters of a longer name that are kept; each has at most 4 bytes. */
const KEPT_CHARACTERS = 30;

/** Returns the name of a run's folder; that of a long choice ends in its checksum. */
function runName(choice: string, seed: number): string {
  const name = choice.replace(/[^\p{L}\p{M}\p{N}_.+-]+/gu, '-');
  const hash = (): string => createHash('sha256').update(choice).digest('hex').slice(0, 12);
  const short =
    Buffer.byteLength(name) <= NAME_BYTES
      ? name
      : `${[...name].slice(0, KEPT_CHARACTERS).join('')}-${hash()}`;
  return `${short}_seed-${seed}`;
}

/** Returns a recipe with another value of a key; null removes the key. */
function changed(recipe: JsonObject, key: string, value: unknown): JsonObject {
  const [section = '', name] = key.split(/\.(.*)/s);
  if (name === undefined) return { ...recipe, [section]: value ?? undefined };
  const before = isRecord(recipe[section]) ? recipe[section] : {};
  return { ...recipe, [section]: { ...before, [name]: value ?? undefined } };
}

/**
 * Returns a recipe with its steps, if the study does not leave them to the base, and with evaluation and validation after the
 * last step, if they do not say when.
 */
function withSteps(json: JsonObject, { operations, train }: Study, found: number): JsonObject {
  const training = isRecord(json.training) ? json.training : {};
  const steps = operations !== undefined || !train ? found : training.steps;
  const sections = ['evaluation', 'validation'].flatMap((section) => {
    const given = json[section];
    return isRecord(given) ? [[section, { every: steps, ...given }]] : [];
  });
  return { ...json, training: { ...training, steps }, ...Object.fromEntries(sections) };
}
