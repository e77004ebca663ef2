/** @file Writing PyTorch checkpoints (`torch.save`'s zip format) of any size to disk (Node only). */

import { FormatError } from '../../errors.ts';
import { writeFileAtomically } from '../../io/atomic-write.ts';
import { type DType, elementCount, type Tensor, tensorBytes } from '../../tensor/tensor.ts';
import { rowMajorStrides } from '../elements.ts';
import { byteCount } from '../safetensors.ts';
import type { LazyTensor } from '../tensor-archive.ts';
import { type StoredFile, writeStoredZip } from '../zip-writer.ts';
import { storageTypes } from './dtypes.ts';
import { encodePickle, global, type Picklable, tuple } from './pickle-writer.ts';

/** A value to save. Arrays become lists, and whole numbers ints. */
export type TorchInput =
  | null
  | boolean
  | number
  | string
  | readonly TorchInput[]
  | ReadonlyMap<string, TorchInput>
  | Tensor
  | LazyTensor
  | TorchObject;

/** An `OrderedDict`, as state dicts are, or an `argparse.Namespace`. */
export interface TorchObject {
  readonly kind: 'ordered-dict' | 'namespace';
  readonly entries: ReadonlyMap<string, TorchInput>;
}

/** All members of a checkpoint are in one folder, whose name PyTorch does not look at. */
const FOLDER = 'archive';
/** PyTorch aligns storages like this, so that they can be mapped into memory. */
const STORAGE_ALIGNMENT = 64;
const FORMAT_VERSION = '3\n';

const storageNames = new Map(Object.entries(storageTypes).map(([name, dtype]) => [dtype, name]));

/**
 * Save a value so that `torch.load` of PyTorch 1.6 and later reads it, atomically and one tensor at a time: lazy tensors
 * are read only when their turn comes, so a checkpoint larger than memory can be written.
 * @throws {FormatError} for an element type that PyTorch's format has no storage for; {AcditError} if the file cannot be
 * written, and then the old file stays whole.
 */
export async function writeTorchCheckpoint(
  path: string,
  value: TorchInput,
  signal?: AbortSignal,
): Promise<void> {
  const storages: (Tensor | LazyTensor)[] = [];
  const pickle = encodePickle(picklable(value, storages));
  const text = (name: string, content: string): StoredFile => file(name, new TextEncoder().encode(content));
  const files = [
    file('data.pkl', pickle),
    text('byteorder', 'little'),
    ...storages.map((tensor, key) => storageFile(tensor, key, signal)),
    text('version', FORMAT_VERSION),
  ];
  await writeFileAtomically(path, (write) => writeStoredZip(write, files, STORAGE_ALIGNMENT));
}

function file(name: string, bytes: Uint8Array): StoredFile {
  return { name: `${FOLDER}/${name}`, read: async () => bytes };
}

function storageFile(tensor: Tensor | LazyTensor, key: number, signal?: AbortSignal): StoredFile {
  return {
    name: `${FOLDER}/data/${key}`,
    async read() {
      signal?.throwIfAborted();
      const bytes = tensorBytes('read' in tensor ? await tensor.read() : tensor);
      if (bytes.length === byteCount(tensor)) return bytes;
      throw new FormatError(
        `storage ${key}: [${tensor.shape}] of ${tensor.dtype} takes ${byteCount(tensor)} bytes but has ${bytes.length}`,
      );
    },
  };
}

/** The value as its pickle describes it. Its tensors are added to `storages`, their places there being their keys. */
function picklable(value: TorchInput, storages: (Tensor | LazyTensor)[]): Picklable {
  const entries = (map: ReadonlyMap<string, TorchInput>): Map<string, Picklable> =>
    new Map([...map].map(([key, item]) => [key, picklable(item, storages)]));
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Map) return entries(value);
  if (isList(value)) return value.map((item) => picklable(item, storages));
  if ('dtype' in value) return picklableTensor(value, storages.push(value) - 1);
  const { kind, entries: contents } = value as TorchObject;
  return kind === 'namespace'
    ? { kind: 'call', callee: global('argparse', 'Namespace'), args: [], state: entries(contents) }
    : { kind: 'call', callee: ORDERED_DICT, args: [], items: entries(contents) };
}

function isList(value: object): value is readonly TorchInput[] {
  return Array.isArray(value);
}

const ORDERED_DICT = global('collections', 'OrderedDict');
const REBUILD_TENSOR = global('torch._utils', '_rebuild_tensor_v2');

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)` of a storage that holds this tensor only. */
function picklableTensor({ dtype, shape }: Tensor | LazyTensor, key: number): Picklable {
  const type = global('torch', storageName(dtype));
  const id = tuple('storage', type, String(key), 'cpu', elementCount(shape));
  const noHooks: Picklable = { kind: 'call', callee: ORDERED_DICT, args: [] };
  const args = [
    { kind: 'persistent', id } as const,
    0,
    tuple(...shape),
    tuple(...rowMajorStrides(shape)),
    false,
    noHooks,
  ];
  return { kind: 'call', callee: REBUILD_TENSOR, args };
}

function storageName(dtype: DType): string {
  const name = storageNames.get(dtype);
  if (name !== undefined) return name;
  throw new FormatError(
    `PyTorch checkpoints have no storage of ${dtype}; convert it to one of ${[...storageNames.keys()].join(', ')}`,
  );
}
