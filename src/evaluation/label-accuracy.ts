/** @file Whether samples show what they were asked to show, in a classifier's judgement. */

import { ArgumentError } from '../errors.ts';
import { predictedClasses } from '../models/classifier/compiled.ts';
import type { Features } from './products.ts';

/** How well samples are recognised as what they were made for. */
export interface LabelAccuracy {
  /** Share of the samples that the classifier gives the label they were made for. */
  readonly accuracy: number;
  /** The same by label; undefined for a label that no sample was made for. */
  readonly byLabel: readonly (number | undefined)[];
}

/**
 * @param logits (N, classes) of a classifier
 * @param labels what each of the N samples was made to show
 * @throws {ArgumentError} if there are not as many labels as logits, or a label is none of the classes.
 */
export function labelAccuracy(logits: Features, labels: ArrayLike<number>): LabelAccuracy {
  const [count, classes] = logits.shape;
  if (labels.length !== count) {
    throw new ArgumentError(`labelAccuracy: ${labels.length} labels for ${count} samples`);
  }
  const right = new Array<number>(classes).fill(0);
  const made = new Array<number>(classes).fill(0);
  for (const [i, predicted] of predictedClasses(logits).entries()) {
    const label = labels[i];
    if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
      throw new ArgumentError(`labelAccuracy: label ${label} of sample ${i} is none of ${classes} classes`);
    }
    made[label]++;
    if (predicted === label) right[label]++;
  }
  return {
    accuracy: right.reduce((sum, number) => sum + number, 0) / count,
    byLabel: right.map((number, label) => (made[label] > 0 ? number / made[label] : undefined)),
  };
}
