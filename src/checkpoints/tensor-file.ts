/** @file Files of named tensors, in whichever format. */

import type { TensorArchive } from '../formats/tensor-archive.ts';
import { openFile } from '../io/file-source.ts';
import { openTensors } from './tensor-source.ts';

/**
 * Open a `.safetensors` file, or else a PyTorch checkpoint that is a state dict.
 * @throws {FormatError} if it is missing or damaged; {CheckpointError} if a checkpoint is something else.
 */
export async function openTensorFile(path: string): Promise<TensorArchive> {
  return openTensors(await openFile(path));
}
