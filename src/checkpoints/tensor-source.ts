/** @file Named tensors in whichever format, wherever their bytes are. */

import { CheckpointError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { openTorchCheckpoint, stateDict } from '../formats/torch/checkpoint.ts';
import type { ByteSource } from '../io/byte-source.ts';

/**
 * Open safetensors, if the source is called so, or else a PyTorch checkpoint that is a state dict.
 * @throws {FormatError} if it is damaged; {CheckpointError} if a checkpoint is something else. It is closed then.
 */
export async function openTensors(source: ByteSource): Promise<TensorArchive> {
  if (source.name.endsWith('.safetensors')) return openSafetensors(source);
  const checkpoint = await openTorchCheckpoint(source);
  try {
    return stateDict(checkpoint.value, () => checkpoint.close());
  } catch (cause) {
    await checkpoint.close();
    throw new CheckpointError(`${source.name}: ${(cause as Error).message}`, { cause });
  }
}
