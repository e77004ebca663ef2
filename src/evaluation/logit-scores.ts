/**
 * @file What a classifier's logits say of samples: the Inception Score (Salimans et al. 2016), by consecutive chunks in the
 * file's order as the ADM evaluator does, and whether samples show what they were asked to show.
 */

import { float64At, floatAt, take } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { predictedClasses } from '../models/classifier/classifier.ts';
import type { Features } from './products.ts';

/** Rows a chunk in the ADM evaluator. */
export const INCEPTION_SCORE_CHUNK = 5000;

/**
 * Mean over chunks of exp(mean KL(p(y|x) || p(y))). The last chunk may be shorter and counts the same.
 * @param logits (N, classes); the ADM evaluator's are without the bias.
 * @throws {ArgumentError} if there are no rows, or the chunk size is not a positive integer.
 */
export function inceptionScore({ shape, data }: Features, chunk = INCEPTION_SCORE_CHUNK): number {
  const [n, classes] = take(shape, 2);
  if (n === 0 || !Number.isSafeInteger(chunk) || chunk < 1) {
    throw new ArgumentError(
      `inceptionScore: needs rows and a chunk of at least 1, got ${n} rows and ${chunk}`,
    );
  }
  let sum = 0;
  for (let start = 0; start < n; start += chunk) {
    sum += chunkScore(data.subarray(start * classes, Math.min(start + chunk, n) * classes), classes);
  }
  return sum / Math.ceil(n / chunk);
}

/** The mean of KL(p || mean p) is the entropy of the mean less the mean entropy. */
function chunkScore(logits: Float32Array | Float64Array, classes: number): number {
  const rows = logits.length / classes;
  const mean = new Float64Array(classes);
  let negativeEntropy = 0;
  for (let row = 0; row < logits.length; row += classes) {
    const logSum = logSumExp(logits.subarray(row, row + classes));
    for (let c = 0; c < classes; c++) {
      const logProbability = floatAt(logits, row + c) - logSum;
      const probability = Math.exp(logProbability);
      mean[c] = float64At(mean, c) + probability / rows;
      if (probability > 0) negativeEntropy += probability * logProbability;
    }
  }
  const meanEntropy = mean.reduce((total, p) => (p > 0 ? total - p * Math.log(p) : total), 0);
  return Math.exp(meanEntropy + negativeEntropy / rows);
}

function logSumExp(values: Float32Array | Float64Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

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
