/** @file Named tensors in any format, wherever their bytes are. */

import { CheckpointError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import {
  openTorchCheckpoint,
  stateDict,
  type TorchCheckpoint,
  type TorchValue,
} from '../formats/torch/checkpoint.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';

/**
 * Open safetensors, if the source is called so, or else a PyTorch checkpoint that is a state dict.
 * @throws {FormatError} if it is damaged; {CheckpointError} if a checkpoint is something else. It is closed then.
 */
export async function openTensors(source: ByteSource): Promise<TensorArchive> {
  if (source.name.endsWith('.safetensors')) return openSafetensors(source);
  const checkpoint = await openTorchCheckpoint(source);
  return closingOnError(checkpoint, async () => openStateDict(checkpoint, checkpoint.value, source.name));
}

/** The tensors of a dict in an open checkpoint. @throws {CheckpointError} if it is not a dict with tensors. */
export function openStateDict(checkpoint: TorchCheckpoint, value: TorchValue, name: string): TensorArchive {
  try {
    const archive = stateDict(value, () => checkpoint.close());
    return { ...archive, files: checkpoint.file ? [checkpoint.file] : [] };
  } catch (cause) {
    throw new CheckpointError(`${name}: ${(cause as Error).message}`, { cause });
  }
}
