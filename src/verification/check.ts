/** @file Comparing a tensor with its golden one. */

import type { Tensor } from '../tensor/tensor.ts';

/** Golden arrays by name, as an `.npz` file holds them. */
export interface GoldenNumbers {
  /** Whether there is an array of this name. */
  has(name: string): boolean;
  /** @throws {FormatError} if there is no such array. */
  read(name: string): Promise<Tensor>;
}

/** How one golden array is met. */
export interface Check {
  /** Name of the golden array. */
  readonly name: string;
  /** max |a - b| / max |b|; infinite if the sizes differ. */
  readonly error: number;
  readonly tolerance: number;
  readonly passed: boolean;
  /** What is wrong, where a number does not say it. */
  readonly problem?: string;
}

/** Largest relative errors that pass. Sampling adds up those of all its steps. */
export const TOLERANCE = { table: 1e-5, pass: 1e-4, training: 1e-4, sampling: 1e-3 } as const;

/** Compare values with golden ones. Shapes may differ as long as there are as many values. */
export function check(
  name: string,
  values: ArrayLike<number | bigint>,
  golden: Tensor,
  tolerance: number,
): Check {
  if (values.length !== golden.data.length) {
    const problem = `has ${values.length} values, golden shape [${golden.shape}] has ${golden.data.length}`;
    return { name, error: Number.POSITIVE_INFINITY, tolerance, passed: false, problem };
  }
  const error = relativeError(values, golden.data);
  return { name, error, tolerance, passed: error <= tolerance };
}

/** max |a - b| / max |b|, or max |a| where b is 0 throughout; NaN if a value is. */
function relativeError(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const error = Math.abs(Number(a[i]) - Number(b[i]));
    if (Number.isNaN(error)) return error;
    difference = Math.max(difference, error);
    largest = Math.max(largest, Math.abs(Number(b[i])));
  }
  return difference / (largest || 1);
}
