/** @file Writing a model folder: `config.json` and `model.safetensors`. */

import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import type { LazyTensor } from '../formats/tensor-archive.ts';
import { makeFolders, writeJsonAtomically } from '../io/atomic-write.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type FloatType, toFloat32, toFloatType } from '../tensor/convert.ts';
import { type RoundedMatrix, roundMatrix } from '../tensor/round-rows.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { ROUNDED_FORMAT, ROUNDED_MARKER } from './format-version.ts';
import { CONFIG_FILE, WEIGHTS_FILE } from './load.ts';
import { ROUNDED, SCALES } from './rounded-weights.ts';

/** Weights to store, by their official names: in memory, or read when their turn comes. */
export type StoredWeights = ReadonlyMap<string, Tensor | LazyTensor>;

/** How a model is stored. */
export interface SaveOptions {
  /** Element type of the stored weights; their own by default. */
  readonly dtype?: FloatType;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Write a model folder, one tensor at a time; each file is replaced as a whole or not at all. */
export async function saveModel(
  folder: string,
  config: AcditConfig,
  weights: StoredWeights,
  { dtype, metadata = {}, signal }: SaveOptions = {},
): Promise<void> {
  await makeFolders(folder);
  await writeSafetensors(
    join(folder, WEIGHTS_FILE),
    dtype === undefined ? weights : storedAs(weights, dtype),
    { format: 'pt', ...metadata },
    signal,
  );
  await writeConfig(folder, weights.has(ROUNDED_MARKER) ? { ...config, ...ROUNDED_FORMAT } : config);
}

/** Writes the `config.json` of a folder. */
export async function writeConfig(folder: string, config: object): Promise<void> {
  await writeJsonAtomically(join(folder, CONFIG_FILE), config);
}

/** How weights are stored; `int8`: those of the layers' products in 8 bits, the others as they are. */
export type StorageType = FloatType | 'int8';

/**
 * Returns the weights in another element type; each is converted when it is read.
 * @throws {CheckpointError} when a weight is read whose finite numbers would become infinite; {ArgumentError} for `int8`, if
 * they are not finite.
 */
export function storedAs(weights: StoredWeights, dtype: StorageType): StoredWeights {
  if (dtype === 'int8') {
    return new Map([
      [ROUNDED_MARKER, tensor('float64', [0], new Float64Array())],
      ...[...weights].flatMap(([name, value]): [string, Tensor | LazyTensor][] =>
        ROUNDED.test(name) ? rounded(name, value) : [[name, value]],
      ),
    ]);
  }
  return new Map(
    [...weights].map(([name, value]): [string, LazyTensor] => [
      name,
      {
        dtype,
        shape: value.shape,
        async read() {
          const original = 'read' in value ? await value.read() : value;
          const converted = toFloatType(original, dtype);
          requireFinite(name, original, converted);
          return converted;
        },
      },
    ]),
  );
}

/** A weight as it is stored in 8 bits; it is rounded when it is read. */
function rounded(name: string, value: Tensor | LazyTensor): [string, LazyTensor][] {
  async function round(): Promise<RoundedMatrix> {
    const result = roundMatrix(name, toFloat32('read' in value ? await value.read() : value));
    if (!result.hasOutliers) return result;
    throw new CheckpointError(
      `${name}: a row has values so large that its others would vanish in 8 bits; keep the original, whose products ` +
        'like this one stay in float32 with --precision int8',
    );
  }
  return [
    [name, { dtype: 'int8', shape: value.shape, read: async () => (await round()).values }],
    [
      name + SCALES,
      { dtype: 'float32', shape: value.shape.slice(0, 1), read: async () => (await round()).scales },
    ],
  ];
}

/** The largest number of each type that weights are stored in. */
const LARGEST: Readonly<Record<FloatType, string>> = {
  float32: '3.4e38',
  bfloat16: '3.4e38',
  float16: '65504',
};

/** @throws {CheckpointError} if a number is infinite after its conversion and was not before. */
function requireFinite(name: string, original: Tensor, converted: Tensor): void {
  if (converted === original) return;
  // float32 does not have the range of float64.
  const before = original.dtype === 'float64' ? (original.data as Float64Array) : toFloat32(original).data;
  const after = toFloat32(converted).data;
  const isLost = (value: number, i: number): boolean => Number.isFinite(value) && !Number.isFinite(after[i]);
  const lost = before.findIndex(isLost);
  if (lost < 0) return;
  const { dtype } = converted as { dtype: FloatType };
  const remedy =
    dtype === 'float16' ? 'store it as bfloat16 (--dtype bf16), which has the range of float32' : 'scale it';
  throw new CheckpointError(
    `${name}: holds ${before[lost]}, which would be infinite in ${dtype} (at most ${LARGEST[dtype]}); ${remedy}`,
  );
}
