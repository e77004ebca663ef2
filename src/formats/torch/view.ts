/** @file PyTorch's tensors: parts of a storage, seen through strides, checked before they are read. */

import { FormatError } from '../../errors.ts';
import { bytesPerElement, type DType, type Tensor } from '../../tensor/tensor.ts';
import { gatherStrided, isContiguous, lastIndex, tensorFromBytes } from '../elements.ts';
import type { ZipMember } from '../zip.ts';

/** A view that repeats its storage (stride 0) may have this many elements, even if its storage is smaller. */
const MAX_EXPANDED = 2 ** 24;

/** The bytes of one storage, outside the pickle. */
export type StorageFile = Pick<ZipMember, 'size' | 'readRange'>;

/** Part of a storage, seen through strides; offset and strides in elements. */
export interface View {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly count: number;
}

/** @throws {FormatError} if the view is not valid, or not inside its storage. */
export function checkView(
  { dtype, shape, strides, offset, count }: View,
  storageBytes: number,
  name: string,
): void {
  const elements = Math.floor(storageBytes / bytesPerElement(dtype));
  const described = `a tensor of shape [${shape}], strides [${strides}] and offset ${offset}`;
  if (strides.length !== shape.length) throw new FormatError(`${name}: ${described} is not valid`);
  if (count > 0 && !(offset + lastIndex(shape, strides) < elements)) {
    throw new FormatError(`${name}: ${described} reaches beyond its storage of ${elements} elements`);
  }
  if (count > Math.max(elements, MAX_EXPANDED)) {
    throw new FormatError(
      `${name}: ${described} is absurdly larger than its storage of ${elements} elements`,
    );
  }
}

/** The elements of a view that was checked, in row-major order. */
export async function readView(
  view: View,
  file: StorageFile,
  name: string,
  room?: Uint8Array,
): Promise<Tensor> {
  const { dtype, shape, strides, offset, count } = view;
  const size = bytesPerElement(dtype);
  const contiguous = isContiguous(shape, strides);
  const span = contiguous ? count : lastIndex(shape, strides) + 1;
  const into = contiguous ? room : undefined;
  const bytes = await file.readRange(count === 0 ? 0 : offset * size, span * size, into);
  const stored = tensorFromBytes(dtype, contiguous ? shape : [span], bytes);
  return contiguous ? stored : gatherStrided(dtype, shape, strides, stored.data, name);
}
