/** @file Inputs that golden numbers were made from, checked to be of the model at hand. */

import { FormatError } from '../errors.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { GoldenNumbers } from './check.ts';

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
