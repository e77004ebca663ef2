/** @file Files of named tensors, in whichever format. */

import { CheckpointError } from '../errors.ts';
import { openFile } from '../formats/file-source.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { openTorchCheckpoint, stateDict } from '../formats/torch-checkpoint.ts';

/**
 * Open a `.safetensors` file, or else a PyTorch checkpoint that is a state dict.
 * @throws {FormatError} if it is missing or damaged; {CheckpointError} if a checkpoint is something else.
 */
export async function openTensorFile(path: string): Promise<TensorArchive> {
  const file = await openFile(path);
  if (path.endsWith('.safetensors')) return openSafetensors(file);
  const checkpoint = await openTorchCheckpoint(file);
  try {
    return stateDict(checkpoint.value, () => checkpoint.close());
  } catch (cause) {
    await checkpoint.close();
    throw new CheckpointError(`${path}: ${(cause as Error).message}`, { cause });
  }
}
