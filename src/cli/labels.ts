/** @file Labels as users give them, class numbers or names, and as they are shown. */

import { className, findClass, requireClass } from '../models/acdit/class-names.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { requireOneABlock } from './values.ts';

/** One class for a sample, or one for each of its blocks. */
export type Label = number | readonly number[];

/** The classes that the official sampling scripts draw. */
const OFFICIAL_LABELS = {
  image: [207, 360, 387, 974, 88, 979, 417, 279],
  video: [27, 36, 38, 97, 88, 79, 41, 29],
} as const;

/** Models with at most this many classes are sampled in all of them. */
const FEW_CLASSES = 20;

/** All classes of a small model; of the released ones those that the official scripts draw; else the first eight. */
export function defaultLabels({ classes, frames }: AcditConfig): number[] {
  if (classes <= FEW_CLASSES) return Array.from({ length: classes }, (_, label) => label);
  if (classes === 1000 && frames === 1) return [...OFFICIAL_LABELS.image];
  if (classes === 101 && frames > 1) return [...OFFICIAL_LABELS.video];
  return Array.from({ length: 8 }, (_, label) => label);
}

/**
 * `3,7`, `sneaker,bag` or, by block, `3/3/7/7`. Case and punctuation of names do not matter.
 * @throws {ArgumentError} naming the range of numbers, or the nearest name.
 */
export function parseLabels(config: AcditConfig, text: string, blocks = config.blocks): Label[] {
  return text.split(',').map((item) => {
    const whole = findClass(config, item.trim());
    if (whole !== undefined || !item.includes('/')) return whole ?? requireClass(config, item.trim());
    const parts = item.split('/').map((part) => part.trim());
    requireOneABlock('labels', item.trim(), parts.length, blocks);
    return parts.map((part) => requireClass(config, part));
  });
}

/** The name of a label, as far as the model has names. */
export function labelName(config: AcditConfig, label: Label): string {
  if (typeof label !== 'number') return label.map((part) => labelName(config, part)).join(' / ');
  return className(config, label);
}

/**
 * Repeat each label.
 * @param count samples in all, divided among the labels as evenly as can be; else `perLabel` of each.
 */
export function repeatLabels(labels: readonly Label[], perLabel: number, count: number | undefined): Label[] {
  const times = (index: number): number =>
    count === undefined ? perLabel : Math.floor((count + labels.length - 1 - index) / labels.length);
  return labels.flatMap((label, i) => Array<Label>(times(i)).fill(label));
}
