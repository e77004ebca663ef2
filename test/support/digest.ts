/** @file Tensors as short texts, for comparing large ones in a moment. */

import { createHash } from 'node:crypto';
import { type Tensor, tensorBytes } from '../../src/tensor/tensor.ts';

/** A tensor's type, shape and a hash of its bytes. */
export function digest(value: Tensor): string {
  const hash = createHash('sha256').update(tensorBytes(value)).digest('hex');
  return `${value.dtype} [${value.shape}] ${hash}`;
}

/** The same for each of many. */
export function digests(tensors: Iterable<readonly [string, Tensor]>): Record<string, string> {
  return Object.fromEntries([...tensors].map(([name, value]) => [name, digest(value)]));
}
