/** @file Writing safetensors files of any size to disk (Node only). */

import { FormatError } from '../errors.ts';
import { writeFileAtomically } from '../io/atomic-write.ts';
import { type Tensor, tensorBytes } from '../tensor/tensor.ts';
import { byteCount, encodeHeader, inFileOrder } from './safetensors.ts';
import type { LazyTensor, Metadata, Named } from './tensor-archive.ts';

/**
 * Write tensors to a safetensors file, atomically and one at a time: lazy ones are read only when their turn comes,
 * so a file larger than memory can be converted.
 * @param tensors in the order wanted; larger element types are moved to the front to keep all of them aligned.
 * @throws {AcditError} if the file cannot be written; the old file then stays whole.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<Named<Tensor | LazyTensor>>,
  metadata: Metadata = {},
  signal?: AbortSignal,
): Promise<void> {
  const ordered = inFileOrder(tensors);
  await writeFileAtomically(path, async (write) => {
    await write(encodeHeader(ordered, metadata));
    for (const [name, value] of ordered) {
      signal?.throwIfAborted();
      await write(await elementBytes(name, value));
    }
  });
}

async function elementBytes(name: string, value: Tensor | LazyTensor): Promise<Uint8Array> {
  const bytes = tensorBytes('read' in value ? await value.read() : value);
  if (bytes.length !== byteCount(value)) {
    throw new FormatError(
      `safetensors: '${name}' should have ${byteCount(value)} bytes but has ${bytes.length}`,
    );
  }
  return bytes;
}
