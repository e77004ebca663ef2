/**
 * @file Decides whether a state belongs to the run that a recipe describes. A run's state records the settings it was trained
 * with, its classes and its autoencoder. A recipe that would make it a different run is refused, and the keys that differ
 * are named. States of versions before checksums hold a fingerprint of the recipe instead of its settings, that of the
 * autoencoder without its scaling factor, and no class names.
 */

import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { RUN_AUTOENCODER } from '../checkpoints/load.ts';
import { CheckpointError } from '../errors.ts';
import { parseJson, parseJsonOf } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { MAXIMUM_PIXELS } from '../media/image.ts';
import { classChange } from '../models/acdit/class-names.ts';
import { type AcditConfig, describeOrigin } from '../models/acdit/config.ts';
import { defined } from '../records.ts';
import { isAdopted, requireAdopted, withDefaults } from './adopted-state.ts';
import { feedForwardPieces } from './gradient-graphs.ts';
import { parseSettings, type Recipe, type RecipeSettings } from './recipe.ts';

type Metadata = Readonly<Record<string, string>>;

/**
 * Keys that may always differ: the length of the run, since a wsd run can be prolonged before its decay; the memory that
 * it takes; and `classNames`, since the resulting names are compared. All of `output` and `evaluation` may differ too.
 */
const FREE_KEYS: ReadonlySet<string> = new Set([
  'training.steps',
  'training.activations',
  'training.memory',
  'data.classNames',
]);

/** Keys that may differ if the caller allows it: how the weights are trained, and where the data is. */
export const CHANGEABLE_KEYS = [
  'training.learningRate',
  'training.schedule',
  'training.warmupSteps',
  'training.decayFraction',
  'training.batch',
  'training.accumulate',
  'training.betas',
  'training.epsilon',
  'training.weightDecay',
  'training.clip',
  'training.ema',
  'training.labelDrop',
  'training.lossWeighting',
  'training.timesteps',
  'training.timestepPer',
  'data.path',
  'data.flip',
  'data.crop',
] as const;

/** One of {@link CHANGEABLE_KEYS}. */
export type ChangeableKey = (typeof CHANGEABLE_KEYS)[number];

/** Returns what a run's state records of it. */
export function runMetadata(config: AcditConfig, recipe: Recipe): Metadata {
  const { classNames = [], autoencoder } = config;
  const { model, data, training, output } = recipe;
  return {
    feedForwardPieces: String(feedForwardPieces(config)),
    recipe: JSON.stringify({ model, data, training } satisfies RecipeSettings),
    classNames: JSON.stringify(classNames),
    ...(autoencoder && { autoencoder: describeOrigin(autoencoder) }),
    ...(output.vae !== undefined && { [RUN_AUTOENCODER]: output.vae }),
  };
}

/** Whether a state's metadata is of an earlier version; later ones record the recipe as JSON. */
export function isEarlierState({ recipe = '' }: Metadata): boolean {
  return /^[0-9a-f]{16}$/.test(recipe);
}

/**
 * Checks that a state belongs to the same recipe, classes and autoencoder.
 * @param metadata what {@link runMetadata} returned for the run, or what earlier versions recorded.
 * @param where the state, for messages.
 * @throws {CheckpointError} naming what differs and may not, with both values.
 */
export function requireSameRun(
  metadata: Metadata,
  config: AcditConfig,
  recipe: Recipe,
  where: string,
  allowed: readonly ChangeableKey[],
): void {
  const { recipe: recorded, classNames, autoencoder } = metadata;
  if (isAdopted(metadata)) requireAdopted(metadata, config, recipe, where, allowed);
  else if (isEarlierState(metadata)) {
    requireFingerprint(recorded, recipe, where);
    requireSameAutoencoder(autoencoder ?? 'none', config.autoencoder?.fingerprint ?? 'none', where);
  } else {
    requireSameRecipe(recorded, recipe, where, allowed);
    requireSameClasses(classNames, config, where);
    const now = describeOrigin(config.autoencoder);
    requireSameAutoencoder(autoencoder ?? describeOrigin(undefined), now, where);
  }
}

/** Returns a note about a state that an earlier version wrote, if what follows it is less sure or has other last bits. */
export function earlierStateNote(path: string, metadata: Metadata, config: AcditConfig): string | undefined {
  const unchecked = config.autoencoder
    ? 'checksums, class names and the scaling factor of its latents'
    : 'checksums and class names';
  const notes = [
    isEarlierState(metadata) && `without ${unchecked}, so damage or a change of these would not be noticed`,
    (metadata.feedForwardPieces ?? '1') !== String(feedForwardPieces(config)) &&
      'which added up in another order, so later steps differ from its own in the last bits',
  ].filter((note) => note !== false);
  return notes.length > 0 ? `${path}: an earlier version wrote it, ${notes.join('; ')}` : undefined;
}

/** Checks that a run may be resumed with a recipe. @throws {CheckpointError} naming every key that may not differ */
function requireSameRecipe(
  recorded: string | undefined,
  recipe: Recipe,
  where: string,
  allowed: readonly ChangeableKey[],
): void {
  const permitted = new Set<string>(allowed);
  const before = readSettings(recorded, where);
  const changes = recipeChanges(before, recipe).filter(({ key }) => !permitted.has(key));
  if (changes.length === 0) return;
  const list = changes.map(({ key, before, now }) => `${key} was ${shown(before)} and is now ${shown(now)}`);
  const keys = changes.map(({ key }) => key);
  const changeable = keys.every((key) => CHANGEABLE_KEYS.some((known) => known === key));
  const allow = changeable ? `allow the change with --allow-change ${keys.join(',')}, ` : '';
  throw new CheckpointError(
    `${where}: was trained with a different recipe: ${list.join('; ')}. Restore the run's recipe, ${allow}` +
      `give another output folder, or start over with --fresh${changeable ? '' : `. ${WHAT_MAY_CHANGE}`}`,
  );
}

const WHAT_MAY_CHANGE =
  `When a run is resumed, ${[...FREE_KEYS].join(', ')}, and all of output, evaluation and validation may change, and with ` +
  `--allow-change ${CHANGEABLE_KEYS.join(', ')}`;

/** Returns the keys whose values differ, except those that may always differ. */
function recipeChanges(before: RecipeSettings, now: RecipeSettings) {
  const sections = ['model', 'data', 'training'] as const;
  return sections.flatMap((section) => {
    const [old, present] = [settingsOf(before, section), settingsOf(now, section)];
    const names = new Set([...Object.keys(old), ...Object.keys(present)]);
    return [...names]
      .map((name) => ({ key: `${section}.${name}`, before: old[name], now: present[name] }))
      .filter((change) => !FREE_KEYS.has(change.key))
      .filter((change) => !isDeepStrictEqual(change.before, change.now));
  });
}

/** Defaults of the data that its readers fill in. */
const DATA_DEFAULTS = {
  ...{ exifOrientation: false, maxPixels: MAXIMUM_PIXELS, holdOutSeed: 0 },
  ...{ frameInterval: 1, fold: 1, items: 1 },
};

/** Returns a section with the defaults of what it leaves out, so that stating a default is not a change. */
function settingsOf(
  { model, data, training }: RecipeSettings,
  section: keyof RecipeSettings,
): Readonly<Record<string, unknown>> {
  if (section === 'model') return withDefaults(defined(model));
  return section === 'data' ? { ...DATA_DEFAULTS, ...defined(data) } : training;
}

function readSettings(recorded: string | undefined, where: string): RecipeSettings {
  const settings =
    recorded === undefined ? undefined : parseSettings(parseJson(recorded, where, CheckpointError));
  if (settings) return settings;
  throw new CheckpointError(
    `${where}: does not record a recipe that this version reads; start over with --fresh, from the weights it has ` +
      'reached with training.initFrom',
  );
}

function shown(value: unknown): string {
  return value === undefined ? 'not given' : printable(JSON.stringify(value));
}

/** Checks the classes: a run's labels stand for its classes, in their order. */
function requireSameClasses(recorded = '[]', { classNames = [] }: AcditConfig, path: string): void {
  const then = parseJsonOf(recorded, path, z.array(z.string()), 'not a list of classes', CheckpointError);
  const change = classChange(then, classNames);
  if (change === undefined) return;
  throw new CheckpointError(
    `${path}: the data has other classes: ${change}. Labels would mean other classes; restore the class folders ` +
      '(or give renamed ones their old names in data.classNames), give another output folder, or start over with --fresh',
  );
}

function requireSameAutoencoder(then: string, now: string, path: string): void {
  if (then === now) return;
  throw new CheckpointError(
    `${path}: was trained on latents of autoencoder ${printable(then)}, and the data is now of ${now}; use the data it was ` +
      'trained on, or start over with --fresh',
  );
}

function requireFingerprint(recorded: string | undefined, recipe: Recipe, path: string): void {
  if (recorded === recipeFingerprint(recipe)) return;
  throw new CheckpointError(
    `${path}: was trained with a different recipe, by an earlier version, which does not record what differs; restore ` +
      "the run's recipe, give another output folder, or start over with --fresh",
  );
}

/** Keys of the training that recipes got later, with the values by which they are as they were. */
const LATER_DEFAULTS: Readonly<Record<string, unknown>> = { timesteps: 'uniform', timestepPer: 'block' };

/** Returns the fingerprint that earlier versions recorded: of everything but the output, the run's length and its memory. */
function recipeFingerprint({ model, data, training }: Recipe): string {
  const { activations: _activations, steps: _steps, memory: _memory, ...rest } = training;
  const known = Object.entries(rest).filter(([key, value]) => value !== LATER_DEFAULTS[key]);
  const settings = Object.fromEntries(known);
  return createHash('sha256').update(JSON.stringify({ model, data, settings })).digest('hex').slice(0, 16);
}
