/** @file Writing a model folder: `config.json` and `model.safetensors`. */

import { join } from 'node:path';
import { makeFolders, writeFileAtomically } from '../formats/atomic-write.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import type { LazyTensor } from '../formats/tensor-archive.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type FloatType, toFloatType } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { CONFIG_FILE, WEIGHTS_FILE } from './load.ts';

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
  await writeFileAtomically(join(folder, CONFIG_FILE), async (write) => {
    await write(new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`));
  });
}

/** The weights in another element type; each is converted when it is read. */
export function storedAs(weights: StoredWeights, dtype: FloatType): StoredWeights {
  return new Map(
    [...weights].map(([name, value]): [string, LazyTensor] => [
      name,
      {
        dtype,
        shape: value.shape,
        read: async () => toFloatType('read' in value ? await value.read() : value, dtype),
      },
    ]),
  );
}
