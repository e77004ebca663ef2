/**
 * @file What the names in a PyTorch checkpoint's pickle mean: a fixed list (torch/_utils.py, torch/serialization.py),
 * tensors that stay in the file until read, and nothing that runs code.
 */

import { at } from '../../at.ts';
import { FormatError } from '../../errors.ts';
import { printable } from '../../io/printable.ts';
import { checkedElementCount } from '../elements.ts';
import type { LazyTensor } from '../tensor-archive.ts';
import {
  type DTypeName,
  dtypes,
  isDTypeName,
  otherStorageTypes,
  storageTypes,
  storedSize,
} from './dtypes.ts';
import {
  arrayFromBuffer,
  makeDtype,
  makeEmptyArray,
  makeScalar,
  type NumpyArray,
  type NumpyDtype,
  setArrayState,
  setDtypeState,
} from './numpy-pickle.ts';
import { type PickleHost, type PickleValue, unpickle } from './pickle.ts';
import { checkTree } from './pickle-tree.ts';
import { pythonCalls, pythonTypes } from './python-objects.ts';
import { isGetattr, isHostile, qualifiedName } from './unknown-classes.ts';
import { checkView, readView, type StorageFile, type View } from './view.ts';

/** A tensor of a checkpoint, still in its file. Strides are in elements, as in PyTorch. */
export interface TorchTensor extends LazyTensor {
  readonly kind: 'tensor';
  readonly strides: readonly number[];
}

/**
 * An object that is known by its class's name and its attributes alone: an `argparse.Namespace`, a module of a
 * TorchScript archive, whose attributes are its tensors and modules, or any object of an unknown class.
 */
export interface TorchNamespace {
  readonly kind: 'namespace';
  readonly className: string;
  /** Its attributes and, if its class is a dict's, its items. */
  readonly attributes: ReadonlyMap<string, TorchValue>;
}

/** A class, a storage or an element type that is itself a value. It has no meaning here. */
export interface TorchOpaque {
  readonly kind: 'global' | 'storage' | 'numpy-dtype';
}

/**
 * A value of a checkpoint: dicts are Maps, lists and tuples arrays, `None` null, devices and dtypes strings such as
 * `cuda:0` and `torch.bfloat16`.
 */
export type TorchValue = PickleValue<TorchTensor | TorchNamespace | TorchOpaque>;

export type { StorageFile } from './view.ts';

/** Finds a storage by its key. @param size the bytes that it should have. */
export type FindStorage = (key: string, size: number) => StorageFile | undefined;

interface Storage {
  readonly kind: 'storage';
  readonly dtype: DTypeName | undefined; // undefined for UntypedStorage
  readonly file: StorageFile;
}

interface NamespaceObject {
  readonly kind: 'namespace';
  readonly className: string;
  readonly attributes: Map<string, Value>;
}

/** A name the pickle may use: a storage type or something to call. */
interface Global {
  readonly kind: 'global';
  readonly name: string;
  readonly storage?: { readonly dtype: DTypeName | undefined };
  readonly call?: (args: readonly Value[], name: string) => Value;
}

type HostObject = TorchTensor | NamespaceObject | Storage | Global | NumpyDtype;
type Value = PickleValue<HostObject>;

/** NumPy renamed its inner modules in version 2. */
const NUMPY_MODULES = ['numpy.core', 'numpy._core'];

const globals = new Map<string, Global>(
  (
    [
      ...Object.entries({ ...storageTypes, ...otherStorageTypes }).map(([type, dtype]) => ({
        name: `torch.${type}`,
        storage: { dtype: `torch.${dtype}` as const },
      })),
      { name: 'torch.UntypedStorage', storage: { dtype: undefined } },
      { name: 'torch.storage.UntypedStorage', storage: { dtype: undefined } },
      { name: 'torch._utils._rebuild_tensor', call: rebuildTensor },
      { name: 'torch._utils._rebuild_tensor_v2', call: rebuildTensorV2 },
      { name: 'torch._utils._rebuild_tensor_v3', call: rebuildTensorV3 },
      { name: 'torch._utils._rebuild_parameter', call: firstTensor },
      { name: 'torch._utils._rebuild_parameter_with_state', call: firstTensor },
      { name: 'torch._utils._rebuild_device_tensor_from_numpy', call: firstTensor },
      { name: 'torch._utils._rebuild_device_tensor_from_cpu_tensor', call: firstTensor },
      { name: 'torch._tensor._rebuild_from_type_v2', call: rebuildFromType },
      { name: 'torch.Tensor' },
      { name: 'torch.nn.parameter.Parameter' },
      { name: 'torch.nn.parameter.Buffer' },
      { name: 'torch.Size', call: makeSize },
      { name: 'torch.device', call: makeDevice },
      { name: 'torch.serialization._get_layout', call: makeLayout },
      ...['build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist', 'restore_type_tag'].map(
        (name) => ({ name: `torch.jit._pickle.${name}`, call: typedContainer }),
      ),
      ...[...pythonCalls].map(([name, call]) => ({ name, call })),
      ...pythonTypes.map((name) => ({ name })),
      { name: 'numpy.dtype', call: makeDtype },
      { name: 'numpy.ndarray' },
      ...NUMPY_MODULES.flatMap((module) => [
        { name: `${module}.multiarray.scalar`, call: makeScalar<HostObject> },
        { name: `${module}.multiarray._reconstruct`, call: makeEmptyArray },
        { name: `${module}.numeric._frombuffer`, call: arrayFromBuffer },
      ]),
    ] satisfies Omit<Global, 'kind'>[]
  ).map((entry) => [entry.name, { kind: 'global', ...entry }]),
);

/**
 * The value of a checkpoint's pickle, and where it ends. Storages are looked up, and their sizes checked, but not read.
 * @param start where in `bytes` the pickle begins.
 * @throws {FormatError} if the pickle is damaged or malicious, or names something that runs code.
 */
export function unpickleTorch(
  bytes: Uint8Array,
  storages: FindStorage,
  name: string,
  start = 0,
): { value: TorchValue; end: number } {
  const problem = (what: string) => new FormatError(`${name}: ${what}`);
  const { value, end } = unpickle(bytes, torchHost(storages, name), name, start);
  checkTree(value, (object) => (object.kind === 'namespace' ? object.attributes.values() : []), problem);
  return { value, end };
}

function torchHost(storages: FindStorage, name: string): PickleHost<HostObject> {
  return {
    global(module, attribute) {
      const full = qualifiedName(module, attribute, name);
      const found = isDTypeName(full) ? full : globals.get(full);
      if (found !== undefined) return found;
      if (isHostile(module, attribute)) {
        throw new FormatError(
          `${name}: asks for ${printable(full)}, which runs code: the file is malicious; nothing was run`,
        );
      }
      return isGetattr(module, attribute)
        ? { kind: 'global', name: full, call: namedMember }
        : { kind: 'global', name: full, call: () => makeNamespace(full) };
    },
    call(callee, args) {
      if (!isKind(callee, 'global') || !callee.call)
        throw new FormatError(`${name}: calls what cannot be called`);
      return callee.call(args, name);
    },
    build: (target, state) => setState(target, state, name),
    append(target) {
      // The items of an unknown list or set are not kept.
      if (target.kind !== 'namespace')
        throw new FormatError(`${name}: appends to something that is not a list`);
    },
    setItems(target, items) {
      if (target.kind !== 'namespace')
        throw new FormatError(`${name}: sets items of something that is not a dict`);
      for (let i = 0; i + 1 < items.length; i += 2) setAttribute(target, at(items, i), at(items, i + 1));
    },
    persistent: (id) => findStorage(id, storages, name),
  };
}

function setState(target: Value, state: Value, name: string): void {
  if (target instanceof Map) return; // attributes of an OrderedDict: PyTorch's _metadata, of no use here
  if (isKind(target, 'numpy-dtype')) setDtypeState(target, state, name);
  else if (isKind(target, 'tensor') && isNumpyArray(target)) setArrayState(target, state, name);
  else if (isKind(target, 'namespace')) setAttributes(target, state);
  else throw new FormatError(`${name}: sets the state of an object without any`);
}

/** A state is a dict or, with slots, a pair of dicts. Only its class knows what any other state means. */
function setAttributes(target: NamespaceObject, state: Value): void {
  const dicts = Array.isArray(state) && state.length === 2 ? (state as readonly Value[]) : [state];
  for (const dict of dicts) {
    if (dict instanceof Map) for (const [key, value] of dict) setAttribute(target, key, value);
  }
}

function setAttribute({ attributes }: NamespaceObject, key: Value, value: Value): void {
  if (typeof key === 'string') attributes.set(key, value);
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
  const elementSize = dtype === undefined ? 1 : storedSize(dtype);
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
    readRange: (start, length, room) => file.readRange(offset * elementSize + start, length, room),
  };
}

/** `_rebuild_tensor(storage, offset, size, stride)`, and how newer versions of it begin. */
function rebuildTensor(
  [storage, offset, shape, strides]: readonly Value[],
  name: string,
  dtypeName = isKind(storage, 'storage') ? storage.dtype : undefined,
): TorchTensor {
  if (!isKind(storage, 'storage') || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    throw new FormatError(
      `${name}: a tensor's storage, offset, size or stride is not valid; the file is damaged`,
    );
  }
  if (dtypeName === undefined) {
    throw new FormatError(`${name}: a tensor on an untyped storage does not say its dtype`);
  }
  const dtype = dtypes.get(dtypeName);
  if (!dtype) {
    throw new FormatError(
      `${name}: holds a tensor of ${dtypeName}, which is not supported; leave it out, or convert it to ${[...dtypes.keys()].join(', ')}`,
    );
  }
  const view: View = { dtype, shape, strides, offset, count: checkedElementCount(shape, name) };
  checkView(view, storage.file.size, name);
  return { kind: 'tensor', dtype, shape, strides, read: (room) => readView(view, storage.file, name, room) };
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata)` */
function rebuildTensorV2(args: readonly Value[], name: string): TorchTensor {
  checkMetadata(args[6], name);
  return rebuildTensor(args, name);
}

/** `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata)`, of untyped storages. */
function rebuildTensorV3(args: readonly Value[], name: string): TorchTensor {
  const [, , , , , , dtype, metadata] = args;
  checkMetadata(metadata, name);
  if (typeof dtype !== 'string' || !isDTypeName(dtype)) {
    throw new FormatError(`${name}: a tensor on an untyped storage does not say its dtype`);
  }
  return rebuildTensor(args, name, dtype);
}

/** Bits that change what a storage means, such as `neg` of an imaginary part. */
function checkMetadata(metadata: Value | undefined, name: string): void {
  if (!(metadata instanceof Map)) return;
  const bit = ['conj', 'neg'].find((key) => metadata.get(key) === true);
  if (bit === undefined) return;
  throw new FormatError(`${name}: holds a tensor with its ${bit} bit set; save a resolved copy of it`);
}

/** A parameter, or a tensor of another device: what else is said of it does not matter here. */
function firstTensor([data]: readonly Value[], name: string): TorchTensor {
  if (!isKind(data, 'tensor')) throw new FormatError(`${name}: a parameter holds no tensor`);
  return data;
}

/** `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor that has attributes, which are left out. */
function rebuildFromType([callee, type, args]: readonly Value[], name: string): Value {
  const known =
    isKind(callee, 'global') &&
    callee.call &&
    /^torch\._utils\._rebuild_(tensor|parameter)/.test(callee.name);
  if (!known || !isKind(type, 'global') || !Array.isArray(args)) {
    throw new FormatError(`${name}: rebuilds a tensor in a way that is not known`);
  }
  return callee.call(args, name);
}

function makeSize([dims]: readonly Value[], name: string): Value {
  if (!isCounts(dims)) throw new FormatError(`${name}: a torch.Size is not a list of dimensions`);
  return dims;
}

function makeDevice([type, index]: readonly Value[], name: string): string {
  if (typeof type !== 'string') throw new FormatError(`${name}: a torch.device has no name`);
  return isCount(index) ? `${type}:${index}` : type;
}

function makeLayout([layout]: readonly Value[], name: string): string {
  if (typeof layout !== 'string') throw new FormatError(`${name}: a layout has no name`);
  return layout;
}

/** `build_intlist(list)` and its like, and `restore_type_tag(container, type)`: TorchScript's lists and dicts. */
function typedContainer([container]: readonly Value[], name: string): Value {
  if (Array.isArray(container) || container instanceof Map) return container;
  throw new FormatError(`${name}: a typed container is made from no list and no dict`);
}

/** Makes an object of a class. Only the class knows what its arguments mean. */
function makeNamespace(className: string): NamespaceObject {
  return { kind: 'namespace', className: printable(className), attributes: new Map() };
}

/** `getattr(class, name)`: a member of an enumeration, or a class within another. */
function namedMember([owner, member]: readonly Value[], name: string): Global {
  if (!isKind(owner, 'global') || owner.storage || typeof member !== 'string') {
    throw new FormatError(
      `${name}: asks for an attribute of something that is not a class; the file is damaged`,
    );
  }
  const full = qualifiedName(owner.name, member, name);
  return { kind: 'global', name: full, call: () => makeNamespace(full) };
}

function isNumpyArray(tensor: TorchTensor): tensor is NumpyArray {
  return 'isNumpyArray' in tensor;
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
