/** @file The classes of as many images as a metric wants. */

import { ArgumentError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type ParsedLabels, parseLabels } from '../runs/labels.ts';
import { Generator } from '../tensor/generator.ts';
import { wholeNumber } from './values.ts';

/** How classes follow each other: drawn with replacement, as DiT and ADM sample, or in turn, each as often as any. */
export type LabelOrder = 'random' | 'balanced';

/** Max samples of one run; a metric takes 50,000. */
export const MOST_SAMPLES = 10_000_000;

/** @throws {ArgumentError} if so many samples of each class are too many in all. */
export function requirePerClass(perClass: number | undefined, classes: number): void {
  if (perClass !== undefined)
    wholeNumber(1, Math.floor(MOST_SAMPLES / classes))(String(perClass), 'per-class');
}

export interface ManyLabels {
  readonly order: LabelOrder;
  /** The classes that are drawn from, or take turns. */
  readonly classes: readonly number[];
  /** One per image. A longer list begins with the shorter one. */
  readonly labels: readonly number[];
  /** See {@link ParsedLabels}. */
  readonly notes: readonly string[];
}

/** Keeps labels apart from noise, whose streams have other keys. */
const LABEL_STREAM = 2;

/**
 * Labels by the flags: `--count` random ones, or `--per-class` of each in turn. File order is never sorted by class,
 * which the Inception Score's chunks would suffer from.
 * @throws {ArgumentError}
 */
export function manyLabels(
  config: AcditConfig,
  flags: {
    readonly labels: string | undefined;
    readonly count: number | undefined;
    readonly 'per-class': number | undefined;
    readonly seed: number;
  },
): ManyLabels {
  const { count, 'per-class': perClass, seed } = flags;
  const { classes, notes } = classesOf(config, flags.labels);
  if ((count === undefined) === (perClass === undefined)) {
    throw new ArgumentError(
      '--npz needs --count N, images of random classes (papers take 50000), or --per-class N, as many of each class',
    );
  }
  if (perClass !== undefined) {
    requirePerClass(perClass, classes.length);
    const images = classes.length * perClass;
    const labels = Array.from({ length: images }, (_, i) => classes[i % classes.length]);
    return { order: 'balanced', classes, labels, notes };
  }
  const draws = Generator.seeded(seed, 0, LABEL_STREAM).randint(0, classes.length, count!);
  return { order: 'random', classes, labels: draws.map((draw) => classes[draw]), notes };
}

function classesOf(config: AcditConfig, list: string | undefined): Pick<ManyLabels, 'classes' | 'notes'> {
  if (list === undefined) {
    return { classes: Array.from({ length: config.classes }, (_, label) => label), notes: [] };
  }
  const { labels, notes } = parseLabels(config, list, config.blocks);
  const classes = labels.map((label) => {
    if (typeof label === 'number') return label;
    throw new ArgumentError(`--npz stores one label per image, got ${label.join('/')}`);
  });
  return { classes, notes };
}
