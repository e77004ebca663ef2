/**
 * @file Holds out a share of a dataset for validation. Which samples these are depends on a hash of each sample's own key and
 * a seed: not on the other samples, their order or their number. So a sample that was trained on is never held out later,
 * however the dataset grows.
 */

import { createHash } from 'node:crypto';
import { at } from '../at.ts';
import { ConfigError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { counted } from '../io/quantities.ts';
import type { Dataset } from './dataset.ts';

/** What is held out. */
export interface HoldOutOptions {
  /** Share of the samples that is held out, above 0 and below 1 (default: none are). */
  readonly holdOut?: number | undefined;
  /** Seed of the choice (default: 0). */
  readonly holdOutSeed?: number | undefined;
  /** Which samples to read: those for training (default), or those held out. */
  readonly part?: 'training' | 'heldOut' | undefined;
}

/** Whether a sample with this key is held out. A larger share holds out the same samples and more. */
export function isHeldOut(key: string, share: number, seed: number): boolean {
  const digest = createHash('sha256').update(`${seed}\n${key}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48 < share;
}

/**
 * Returns a part of a dataset; the dataset itself if nothing is held out.
 * @throws {ConfigError} if nothing would be held out, nothing would be left of the whole or of a class, or samples have no keys.
 */
export function partOf(dataset: Dataset, options: HoldOutOptions): Dataset {
  const { holdOut: share, holdOutSeed: seed = 0, part = 'training' } = options;
  if (share === undefined) return dataset;
  const { key, label } = dataset;
  if (!key) {
    throw new ConfigError(
      `${dataset.name}: its samples have no keys by which to hold some out; give validation.path instead`,
    );
  }
  const indices = Array.from({ length: dataset.size }, (_, index) => index);
  const isHeld = indices.map((index) => isHeldOut(key(index), share, seed));
  const heldOut = isHeld.filter(Boolean).length;
  if (heldOut === 0 || heldOut === dataset.size) {
    const [amount, advice] = heldOut === 0 ? ['none', 'larger'] : ['all', 'smaller'];
    throw new ConfigError(
      `${dataset.name}: data.holdOut ${share} holds out ${amount} of its ${counted(dataset.size, 'sample')}; give a ${advice} share, or ` +
        'another data.holdOutSeed',
    );
  }
  const trained = indices.filter((index) => !isHeld[index]);
  requireAllClasses(dataset, trained, share);
  const chosen = part === 'training' ? trained : indices.filter((index) => isHeld[index]);
  return {
    ...dataset,
    size: chosen.length,
    heldOut,
    get corruptCount() {
      return dataset.corruptCount;
    },
    key: (index) => key(at(chosen, index)),
    ...(label && { label: (index: number) => label(at(chosen, index)) }),
    read: (index, generator) => dataset.read(at(chosen, index), generator),
    fingerprint: async () => JSON.stringify([await dataset.fingerprint?.(), share, seed, part]),
  };
}

/** @throws {ConfigError} if all samples of a class are held out, so that it would never be trained */
function requireAllClasses(
  { name, size, classNames, label }: Dataset,
  trained: readonly number[],
  share: number,
): void {
  if (!label) return;
  const labelsOf = (indices: Iterable<number>): Set<number> =>
    new Set([...indices].map((index) => label(index)));
  const left = labelsOf(trained);
  const missing = [...labelsOf(Array(size).keys())].find((found) => !left.has(found));
  if (missing === undefined) return;
  throw new ConfigError(
    `${name}: data.holdOut ${share} holds out all samples of the class ${printable(classNames[missing])}; give a smaller share, or ` +
      'another data.holdOutSeed',
  );
}
