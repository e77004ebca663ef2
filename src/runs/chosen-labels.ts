/** @file Which classes a run samples, and how often. */

import { at } from '../at.ts';
import { invalidOption } from '../invalid-option.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { PerBlock } from '../sampling/settings.ts';
import { Generator } from '../tensor/generator.ts';
import { type ParsedLabels, parseLabels } from './labels.ts';

/** The classes of a run's samples. */
export interface LabelOptions {
  /**
   * Class numbers, one per label or one for each of its blocks; or a text of names and numbers such as `cat,7` or, per
   * block, `3/3/7/7`. Without labels, images and videos are of all classes of a small model, or of eight; an npz file is
   * of all classes.
   */
  readonly labels?: string | readonly PerBlock[] | undefined;
  /** Samples of each label (default: 1, or 8 of a model of pixels without labels). */
  readonly perClass?: number | undefined;
  /** Samples in all: divided among the labels or, in an npz file, of labels drawn at random. */
  readonly count?: number | undefined;
}

/** The order of classes: drawn with replacement, as DiT and ADM sample, or in turn, each as often as any. */
export type LabelOrder = 'random' | 'balanced';

/** Labels of an npz file of samples. */
export interface ManyLabels extends ParsedLabels {
  readonly order: LabelOrder;
  /** The classes that are drawn from, or take turns. */
  readonly classes: readonly number[];
  /** One per sample. A longer list begins with the shorter one. */
  readonly labels: readonly number[];
}

/** Max samples of one run; a metric takes 50,000. */
const MAX_SAMPLES = 10_000_000;
/** Default samples of each class, if no labels are given. */
const DEFAULT_PER_CLASS = 8;
/** Keeps labels apart from noise, whose streams have other keys. */
const LABEL_STREAM = 2;
/** Models with at most this many classes are sampled in all of them. */
const FEW_CLASSES = 20;
/** The classes that the official sampling scripts draw. */
const OFFICIAL_LABELS = {
  image: [207, 360, 387, 974, 88, 979, 417, 279],
  video: [27, 36, 38, 97, 88, 79, 41, 29],
} as const;

/** Returns all classes of a small model, those that the official scripts draw of a released one, else the first eight. */
export function defaultLabels({ classes, frames }: AcditConfig): number[] {
  if (classes <= FEW_CLASSES) return firstClasses(classes);
  if (classes === 1000 && frames === 1) return [...OFFICIAL_LABELS.image];
  if (classes === 101 && frames > 1) return [...OFFICIAL_LABELS.video];
  return firstClasses(8);
}

function firstClasses(count: number): number[] {
  return Array.from({ length: count }, (_, label) => label);
}

/**
 * Returns a label per sample, each as often as asked for.
 * @param blocks blocks of a sample.
 * @throws {ArgumentError} if a label is unknown, or the numbers do not fit together.
 */
export function chooseLabels(config: AcditConfig, options: LabelOptions, blocks: number): ParsedLabels {
  const { labels, count, perClass } = options;
  if (count !== undefined && perClass !== undefined) {
    throw invalidOption('count', 'and --per-class exclude each other; give one of them');
  }
  const { labels: distinct, notes } = readLabels(config, labels, blocks, defaultLabels(config));
  requireCounts(options, distinct.length);
  const fallback = labels === undefined && config.space === 'pixels' ? DEFAULT_PER_CLASS : 1;
  return { labels: repeatLabels(distinct, perClass ?? fallback, count), notes };
}

/**
 * Returns a label per sample of an npz file: `count` random ones, or `perClass` of each class in turn. They are never
 * sorted by class, which the Inception Score's chunks would suffer from.
 * @throws {ArgumentError} if a label is unknown, or neither or both of the numbers are given.
 */
export function manyLabels(config: AcditConfig, options: LabelOptions, seed: number): ManyLabels {
  const { count, perClass } = options;
  const { labels, notes } = readLabels(config, options.labels, config.blocks, firstClasses(config.classes));
  const classes = labels.map((label) => {
    if (typeof label === 'number') return label;
    throw invalidOption('npz', `stores one label per image, got ${label.join('/')}`);
  });
  requireCounts(options, classes.length);
  if (count !== undefined && perClass === undefined) {
    const draws = Generator.seeded(seed, 0, LABEL_STREAM).randint(0, classes.length, count);
    return { order: 'random', classes, labels: draws.map((draw) => at(classes, draw)), notes };
  }
  if (count !== undefined || perClass === undefined) {
    throw invalidOption(
      'npz',
      'needs --count N, images of random classes (papers take 50000), or --per-class N, as many of each class',
    );
  }
  return {
    order: 'balanced',
    classes,
    labels: Array.from({ length: perClass }, () => classes).flat(),
    notes,
  };
}

function readLabels(
  config: AcditConfig,
  labels: LabelOptions['labels'],
  blocks: number,
  fallback: readonly number[],
): ParsedLabels {
  return typeof labels === 'string'
    ? parseLabels(config, labels, blocks)
    : { labels: labels ?? fallback, notes: [] };
}

function requireCounts({ count, perClass }: LabelOptions, distinct: number): void {
  requireCount('count', count, MAX_SAMPLES);
  requireCount('perClass', perClass, Math.floor(MAX_SAMPLES / Math.max(distinct, 1)));
}

function requireCount(name: string, value: number | undefined, most: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return;
  throw invalidOption(name, `must be a whole number from 1 to ${most}, got ${value}`);
}

/**
 * Repeats each label.
 * @param count samples in all, divided among the labels as evenly as possible; else `perLabel` of each.
 */
function repeatLabels(labels: readonly PerBlock[], perLabel: number, count: number | undefined): PerBlock[] {
  const times = (index: number): number =>
    count === undefined ? perLabel : Math.floor((count + labels.length - 1 - index) / labels.length);
  return labels.flatMap((label, i) => Array<PerBlock>(times(i)).fill(label));
}
