/** @file Labels as users give them, class numbers or names, and as they are shown. */

import { ArgumentError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { nearest } from '../nearest.ts';
import { requireOneABlock } from './values.ts';

/** One class for a sample, or one for each of its blocks. */
export type Label = number | readonly number[];

/** Stands for "no class". */
const NONE = 'none';

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
    const whole = findLabel(config, item.trim());
    if (whole !== undefined || !item.includes('/')) return whole ?? unknownClass(config, item.trim());
    const parts = item.split('/').map((part) => part.trim());
    requireOneABlock('labels', item.trim(), parts.length, blocks);
    return parts.map((part) => findLabel(config, part) ?? unknownClass(config, part));
  });
}

function findLabel({ classes, classNames = [] }: AcditConfig, text: string): number | undefined {
  if (/^[-+]?\d+$/.test(text)) {
    const label = Number(text);
    if (label >= 0 && label < classes) return label;
    throw new ArgumentError(`label ${text} is outside 0 to ${classes - 1}, the classes of this model`);
  }
  if (text.toLowerCase() === NONE) return classes;
  const found = classNames.findIndex((name) => simplified(name) === simplified(text));
  return found < 0 ? undefined : found;
}

function unknownClass({ classes, classNames }: AcditConfig, text: string): never {
  const known = classNames
    ? `did you mean '${nearest(text, classNames)}'?`
    : `this model's classes have no names; give numbers from 0 to ${classes - 1}`;
  throw new ArgumentError(`unknown class '${text}'; ${known}`);
}

function simplified(name: string): string {
  const letters = name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
  return letters === '' ? name : letters;
}

/** The name of a label, as far as the model has names. */
export function labelName(config: AcditConfig, label: Label): string {
  if (typeof label !== 'number') return label.map((part) => labelName(config, part)).join(' / ');
  if (label === config.classes) return NONE;
  return config.classNames?.[label] ?? `class ${label}`;
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
