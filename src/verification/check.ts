/** @file Golden numbers: inputs that they were made from, checked to be of the model at hand, and comparing with them. */

import { FormatError } from '../errors.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What is verified, and against what. */
export interface VerificationOptions {
  readonly config: AcditConfig;
  /** Left as they are. */
  readonly weights: Weights;
  readonly golden: GoldenNumbers;
  readonly device: Device;
  readonly signal?: AbortSignal | undefined;
}

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

/** Does the same as {@link check} for a golden array by its name, if there is one. */
export async function* compare(
  golden: GoldenNumbers,
  name: string,
  values: ArrayLike<number>,
  tolerance: number,
): AsyncGenerator<Check> {
  if (golden.has(name)) yield check(name, values, await golden.read(name), tolerance);
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

/** Latents (N, T, B, C). @throws {FormatError} if they are of another model. */
export async function readLatents(
  config: AcditConfig,
  golden: GoldenNumbers,
  name: string,
): Promise<Tensor<'float32'>> {
  const value = toFloat32(await golden.read(name));
  const expected = [config.blocks, config.blockSize, tokenSize(config)];
  if (value.shape.length !== 4 || value.shape.slice(1).join() !== expected.join()) {
    throw new FormatError(
      `golden ${name} has shape [${value.shape}] but this model takes [N,${expected}]; are they of another model?`,
    );
  }
  return value;
}

/** Whole numbers from 0 to below `end`, `count` of them. @throws {FormatError} */
export async function readIndices(
  golden: GoldenNumbers,
  name: string,
  end: number,
  count?: number,
): Promise<number[]> {
  const values = Array.from((await golden.read(name)).data, Number);
  const wrong = values.find((value) => !Number.isInteger(value) || value < 0 || value >= end);
  if (wrong !== undefined) {
    throw new FormatError(
      `golden ${name} holds ${wrong}, outside 0 to ${end - 1}; are they of another model?`,
    );
  }
  if (count !== undefined && values.length !== count) {
    throw new FormatError(`golden ${name} holds ${values.length} values instead of ${count}`);
  }
  return values;
}

export async function readScalar(golden: GoldenNumbers, name: string): Promise<number> {
  const { data } = await golden.read(name);
  if (data.length !== 1) throw new FormatError(`golden ${name} holds ${data.length} values instead of one`);
  return Number(data[0]);
}
