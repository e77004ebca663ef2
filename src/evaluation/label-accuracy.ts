/** @file Whether samples show what they were asked to show, in a classifier's judgement. */

import { take } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { predictedClasses } from '../models/classifier/classifier.ts';
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
  const [count, classes] = take(logits.shape, 2);
  if (labels.length !== count) {
    throw new ArgumentError(`labelAccuracy: ${labels.length} labels for ${count} samples`);
  }
  const counts = Array.from({ length: classes }, () => ({ made: 0, right: 0 }));
  for (const [i, predicted] of predictedClasses(logits).entries()) {
    const label = labels[i];
    const found = label !== undefined && counts[label];
    if (!found) {
      throw new ArgumentError(`labelAccuracy: label ${label} of sample ${i} is none of ${classes} classes`);
    }
    found.made++;
    if (predicted === label) found.right++;
  }
  return {
    accuracy: counts.reduce((sum, { right }) => sum + right, 0) / count,
    byLabel: counts.map(({ made, right }) => (made > 0 ? right / made : undefined)),
  };
}
