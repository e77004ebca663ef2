/**
 * @file What the names in a PyTorch checkpoint's pickle mean: a fixed list (torch/_utils.py, torch/serialization.py),
 * tensors that stay in the file until read, and nothing that runs code.
 */

import { FormatError } from '../errors.ts';
import { bytesPerElement, type DType, type Tensor } from '../tensor/tensor.ts';
import { checkedElementCount, gatherStrided, isContiguous, lastIndex, tensorFromBytes } from './elements.ts';
import { type PickleHost, type PickleValue, unpickle } from './pickle.ts';
import { checkTree } from './pickle-tree.ts';
import { printable } from './printable.ts';
import type { LazyTensor } from './tensor-archive.ts';

/** A tensor of a checkpoint, still in its file. Strides are in elements, as in PyTorch. */
export interface TorchTensor extends LazyTensor {
  readonly kind: 'tensor';
  readonly strides: readonly number[];
}

/** An `argparse.Namespace`. */
export interface TorchNamespace {
  readonly kind: 'namespace';
  readonly attributes: ReadonlyMap<string, TorchValue>;
}

/**
 * A value of a checkpoint: dicts are Maps, lists and tuples arrays, `None` null, devices and dtypes strings such as
 * `cuda:0` and `torch.bfloat16`.
 */
export type TorchValue = PickleValue<TorchTensor | TorchNamespace>;

/** The bytes of one storage, outside the pickle. */
export interface StorageFile {
  readonly size: number;
  readRange(offset: number, length: number): Promise<Uint8Array>;
}

/** Finds a storage by its key. @param size the bytes that it should have. */
export type FindStorage = (key: string, size: number) => StorageFile | undefined;

interface Storage {
  readonly kind: 'storage';
  readonly dtype: DType | undefined; // undefined for UntypedStorage
  readonly file: StorageFile;
}

interface NamespaceObject {
  readonly kind: 'namespace';
  readonly attributes: Map<string, Value>;
}

/** A name the pickle may use: a storage type or something to call. */
interface Global {
  readonly kind: 'global';
  readonly name: string;
  readonly storage?: { readonly dtype: DType | undefined };
  readonly call?: (args: readonly Value[], name: string) => Value;
}

type HostObject = TorchTensor | NamespaceObject | Storage | Global;
type Value = PickleValue<HostObject>;

/** A view that repeats its storage (stride 0) may have this many elements, whatever the storage's size. */
const MAX_EXPANDED = 2 ** 24;

/** PyTorch's storage classes. */
export const storageTypes: Readonly<Record<string, DType>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
};

/** PyTorch names its dtypes as this package does. */
const torchDtypes = new Map<string, DType>(
  ([...Object.values(storageTypes), 'uint16', 'uint32', 'uint64'] as const).map((dtype) => [
    `torch.${dtype}`,
    dtype,
  ]),
);

const globals = new Map<string, Global>(
  (
    [
      ...Object.entries(storageTypes).map(([type, dtype]) => ({ name: `torch.${type}`, storage: { dtype } })),
      { name: 'torch.UntypedStorage', storage: { dtype: undefined } },
      { name: 'torch.storage.UntypedStorage', storage: { dtype: undefined } },
      { name: 'torch._utils._rebuild_tensor_v2', call: rebuildTensor },
      { name: 'torch._utils._rebuild_tensor_v3', call: rebuildTensor },
      { name: 'torch._utils._rebuild_parameter', call: rebuildParameter },
      { name: 'torch.Size', call: makeSize },
      { name: 'torch.device', call: makeDevice },
      { name: 'collections.OrderedDict', call: makeOrderedDict },
      { name: 'argparse.Namespace', call: makeNamespace },
      { name: '_codecs.encode', call: encodeLatin1 }, // how protocol 2 writes bytes
    ] satisfies Omit<Global, 'kind'>[]
  ).map((entry) => [entry.name, { kind: 'global', ...entry }]),
);

/**
 * The value of a checkpoint's pickle, and where it ends. Storages are looked up, and their sizes checked, but not read.
 * @param name what to call the checkpoint in messages.
 * @param start where in `bytes` the pickle begins.
 * @throws {FormatError} if the pickle is damaged or malicious, or names anything outside the fixed list.
 */
export function unpickleTorch(
  bytes: Uint8Array,
  storages: FindStorage,
  name: string,
  start = 0,
): { value: TorchValue; end: number } {
  const problem = (what: string) => new FormatError(`${name}: ${what}`);
  const { value, end } = unpickle(bytes, torchHost(storages, name), name, start);
  checkTree(
    value,
    (object) => {
      if (object.kind === 'namespace') return object.attributes.values();
      if (object.kind === 'tensor') return [];
      const what = object.kind === 'global' ? object.name : 'a storage without a tensor';
      throw problem(`holds ${what} as a value, which is not supported`);
    },
    problem,
  );
  return { value: value as TorchValue, end }; // checkTree saw that no storages and globals are left
}

function torchHost(storages: FindStorage, name: string): PickleHost<HostObject> {
  return {
    global(module, attribute) {
      const full = `${module}.${attribute}`;
      const found = torchDtypes.has(full) ? full : globals.get(full);
      if (found !== undefined) return found;
      throw new FormatError(
        `${name}: asks for ${printable(full)}, which is not on the list of safe names; re-save it with plain tensors only`,
      );
    },
    call(callee, args) {
      if (!isKind(callee, 'global') || !callee.call)
        throw new FormatError(`${name}: calls what cannot be called`);
      return callee.call(args, name);
    },
    build(target, state) {
      if (!(state instanceof Map)) throw new FormatError(`${name}: sets an object's state to no dict`);
      if (target instanceof Map) return; // attributes of an OrderedDict: PyTorch's _metadata, of no use here
      if (!isKind(target, 'namespace'))
        throw new FormatError(`${name}: sets the state of an object without any`);
      for (const [key, value] of state) {
        if (typeof key !== 'string')
          throw new FormatError(`${name}: a Namespace attribute is not named by a string`);
        target.attributes.set(key, value);
      }
    },
    persistent: (id) => findStorage(id, storages, name),
  };
}

/**
 * A persistent id is the tuple ('storage', type, key, location, element count). Before PyTorch 1.6 it ended with null
 * or, for a storage that is part of another, (key of the part, offset, element count of the part).
 */
function findStorage(id: Value, storages: FindStorage, name: string): Storage {
  const [tag, type, key, , count, part] = Array.isArray(id) ? (id as readonly Value[]) : [];
  if (
    tag !== 'storage' ||
    !isKind(type, 'global') ||
    !type.storage ||
    typeof key !== 'string' ||
    !isCount(count)
  ) {
    throw new FormatError(`${name}: refers to a storage in a way that is not known; the file is damaged`);
  }
  const { dtype } = type.storage;
  const elementSize = dtype ? bytesPerElement(dtype) : 1;
  const expected = count * elementSize;
  const file = storages(key, expected);
  if (!file) throw new FormatError(`${name}: storage ${printable(key)} is missing; the file is damaged`);
  if (file.size !== expected) {
    throw new FormatError(
      `${name}: storage ${printable(key)} should have ${expected} bytes but has ${file.size}`,
    );
  }
  if (part === undefined || part === null) return { kind: 'storage', dtype, file };
  return { kind: 'storage', dtype, file: partOfStorage(file, part, elementSize, name) };
}

function partOfStorage(file: StorageFile, part: Value, elementSize: number, name: string): StorageFile {
  const [, offset, count] = Array.isArray(part) ? (part as readonly Value[]) : [];
  if (!isCount(offset) || !isCount(count) || (offset + count) * elementSize > file.size) {
    throw new FormatError(`${name}: a part of a storage reaches beyond it; the file is damaged`);
  }
  return {
    size: count * elementSize,
    readRange: (start, length) => file.readRange(offset * elementSize + start, length),
  };
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`; v3 adds a dtype for untyped storages. */
function rebuildTensor(args: readonly Value[], name: string): TorchTensor {
  const [storage, offset, shape, strides, , , dtypeName] = args;
  if (!isKind(storage, 'storage') || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    throw new FormatError(
      `${name}: a tensor's storage, offset, size or stride is not valid; the file is damaged`,
    );
  }
  const dtype = (typeof dtypeName === 'string' ? torchDtypes.get(dtypeName) : undefined) ?? storage.dtype;
  if (!dtype) throw new FormatError(`${name}: a tensor on an untyped storage does not say its dtype`);
  const view: View = { dtype, shape, strides, offset, count: checkedElementCount(shape, name) };
  checkView(view, storage.file.size, name);
  return { kind: 'tensor', dtype, shape, strides, read: () => readView(view, storage.file, name) };
}

/** Part of a storage, seen through strides; offset and strides in elements. */
interface View {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly count: number;
}

function checkView({ dtype, shape, strides, offset, count }: View, storageBytes: number, name: string): void {
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

async function readView(view: View, file: StorageFile, name: string): Promise<Tensor> {
  const { dtype, shape, strides, offset, count } = view;
  const size = bytesPerElement(dtype);
  const contiguous = isContiguous(shape, strides);
  const span = contiguous ? count : lastIndex(shape, strides) + 1;
  const bytes = await file.readRange(count === 0 ? 0 : offset * size, span * size);
  const stored = tensorFromBytes(dtype, contiguous ? shape : [span], bytes);
  return contiguous ? stored : gatherStrided(dtype, shape, strides, stored.data, name);
}

function rebuildParameter([data]: readonly Value[], name: string): TorchTensor {
  if (!isKind(data, 'tensor')) throw new FormatError(`${name}: a parameter holds no tensor`);
  return data;
}

function makeSize([dims]: readonly Value[], name: string): Value {
  if (!isCounts(dims)) throw new FormatError(`${name}: a torch.Size is no list of dimensions`);
  return dims;
}

function makeDevice([type, index]: readonly Value[], name: string): string {
  if (typeof type !== 'string') throw new FormatError(`${name}: a torch.device has no name`);
  return isCount(index) ? `${type}:${index}` : type;
}

function makeOrderedDict(args: readonly Value[], name: string): Value {
  if (args.length > 0)
    throw new FormatError(`${name}: an OrderedDict is made with arguments, which is not supported`);
  return new Map();
}

function makeNamespace(args: readonly Value[], name: string): NamespaceObject {
  if (args.length > 0)
    throw new FormatError(`${name}: a Namespace is made with arguments, which is not supported`);
  return { kind: 'namespace', attributes: new Map() };
}

function encodeLatin1([text, encoding]: readonly Value[], name: string): Uint8Array {
  if (typeof text !== 'string' || encoding !== 'latin1') {
    throw new FormatError(`${name}: _codecs.encode is supported for latin1 text only`);
  }
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function isKind<K extends HostObject['kind']>(
  value: Value | undefined,
  kind: K,
): value is Extract<HostObject, { kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}

function isCount(value: Value | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: Value | undefined): value is readonly number[] {
  return Array.isArray(value) && Object.isFrozen(value) && value.every(isCount);
}
