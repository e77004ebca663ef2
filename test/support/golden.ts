/** @file Golden numbers from the official code, and how far we are from them. */

import { fileURLToPath } from 'node:url';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** Path of a golden file. */
export function golden(name: string): string {
  return fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url));
}

/** max |a - b| / max |b|; infinite where the sizes differ, NaN where a value is. */
export function relativeError(a: Pick<Tensor, 'data'>, b: Pick<Tensor, 'data'>): number {
  if (a.data.length !== b.data.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < a.data.length; i++) {
    const error = Math.abs(Number(a.data[i]) - Number(b.data[i]));
    if (!(error <= difference)) difference = error;
    largest = Math.max(largest, Math.abs(Number(b.data[i])));
  }
  return difference / (largest || 1);
}
