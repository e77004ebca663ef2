/** @file Writing PyTorch checkpoints (`torch.save`'s zip format) of any size to disk (Node only). */

import { FormatError } from '../../errors.ts';
import { writeFileAtomically } from '../../io/atomic-write.ts';
import { type DType, elementCount, type Tensor, tensorBytes } from '../../tensor/tensor.ts';
import { rowMajorStrides } from '../elements.ts';
import { byteCount } from '../safetensors.ts';
import type { LazyTensor } from '../tensor-archive.ts';
import { type StoredFile, writeStoredZip } from '../zip-writer.ts';
import { storageTypes } from './dtypes.ts';
import { PickleWriter } from './pickle-writer.ts';

/** A value to save. Arrays become lists, and whole numbers ints. */
export type TorchInput =
  | null
  | boolean
  | number
  | string
  | readonly TorchInput[]
  | ReadonlyMap<string | number, TorchInput>
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
  const pickle = new PickleWriter();
  writeValue(pickle, value, storages);
  const text = (name: string, content: string): StoredFile => file(name, new TextEncoder().encode(content));
  const files = [
    file('data.pkl', pickle.finish()),
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

/** Writes a value. Its tensors are added to `storages`, their places there being their keys. */
function writeValue(pickle: PickleWriter, value: TorchInput, storages: (Tensor | LazyTensor)[]): void {
  const write = (item: TorchInput): void => writeValue(pickle, item, storages);
  if (value === null || typeof value !== 'object') pickle.plain(value);
  else if (value instanceof Map) pickle.dict(value, write);
  else if (Array.isArray(value)) pickle.list(value, write);
  else if ('dtype' in value) writeTensor(pickle, value, storages.push(value) - 1);
  else {
    const { kind, entries } = value as TorchObject;
    if (kind === 'ordered-dict') {
      pickle.callOf('collections', 'OrderedDict');
      pickle.setItems(entries, write);
    } else {
      pickle.callOf('argparse', 'Namespace');
      pickle.dict(entries, write);
      pickle.opcode('b');
    }
  }
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)` of a storage that holds this tensor only. */
function writeTensor(pickle: PickleWriter, { dtype, shape }: Tensor | LazyTensor, key: number): void {
  const storage = ['storage', () => pickle.global('torch', storageName(dtype)), String(key), 'cpu'];
  pickle.global('torch._utils', '_rebuild_tensor_v2');
  pickle.tuple([
    () => {
      pickle.tuple([...storage, elementCount(shape)]);
      pickle.opcode('Q'); // a persistent id: an object that is stored outside the pickle
    },
    0,
    () => pickle.tuple(shape),
    () => pickle.tuple(rowMajorStrides(shape)),
    false,
    () => pickle.callOf('collections', 'OrderedDict'),
  ]);
  pickle.opcode('R');
}

function storageName(dtype: DType): string {
  const name = storageNames.get(dtype);
  if (name !== undefined) return name;
  throw new FormatError(
    `PyTorch checkpoints have no storage of ${dtype}; convert it to one of ${[...storageNames.keys()].join(', ')}`,
  );
}
