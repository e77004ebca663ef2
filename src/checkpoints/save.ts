/** @file Writing a model folder: `config.json` and `model.safetensors`. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '../formats/atomic-write.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { float32ToFloat16 } from '../tensor/convert.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { CONFIG_FILE, WEIGHTS_FILE } from './load.ts';

export interface SaveOptions {
  /** Element type of the stored weights; float32 by default. */
  readonly dtype?: 'float32' | 'float16';
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Write a model folder; each file is replaced as a whole or not at all. */
export async function saveModel(
  folder: string,
  config: AcditConfig,
  weights: Weights,
  { dtype = 'float32', metadata = {} }: SaveOptions = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeSafetensors(join(folder, WEIGHTS_FILE), storedTensors(weights, dtype), {
    format: 'pt',
    ...metadata,
  });
  await writeFileAtomically(join(folder, CONFIG_FILE), async (write) => {
    await write(new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`));
  });
}

function storedTensors(weights: Weights, dtype: 'float32' | 'float16'): Iterable<[string, Tensor]> {
  return [...weights].map(([name, value]): [string, Tensor] => [
    name,
    dtype === 'float16' ? tensor('float16', value.shape, float32ToFloat16(value.data)) : value,
  ]);
}
