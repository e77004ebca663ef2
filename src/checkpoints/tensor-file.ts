/** @file Files of named tensors, in whichever format. */

import { openFile } from '../formats/file-source.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { openTensors } from './tensor-source.ts';

/**
 * Open a `.safetensors` file, or else a PyTorch checkpoint that is a state dict.
 * @throws {FormatError} if it is missing or damaged; {CheckpointError} if a checkpoint is something else.
 */
export async function openTensorFile(path: string): Promise<TensorArchive> {
  return openTensors(await openFile(path));
}
