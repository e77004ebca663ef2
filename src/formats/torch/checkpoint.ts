/**
 * @file PyTorch checkpoints (`torch.save`, in its zip format and in the one before it) and the modules of TorchScript
 * archives (`torch.jit.save`), read lazily and without running code.
 */

import { FormatError } from '../../errors.ts';
import { type ByteSource, closingOnError, type StoredFile } from '../../io/byte-source.ts';
import { printable, printableList } from '../../io/printable.ts';
import { LOOKED_AT, mistakenFile } from '../../io/wrong-file-kind.ts';
import { archiveOf, type TensorArchive } from '../tensor-archive.ts';
import { openZip, type ZipMember } from '../zip.ts';
import { isLegacyCheckpoint, readLegacyCheckpoint } from './legacy.ts';
import { type TorchNamespace, type TorchTensor, type TorchValue, unpickleTorch } from './torch-pickle.ts';

export type { TorchNamespace, TorchOpaque, TorchTensor, TorchValue } from './torch-pickle.ts';

/** An open checkpoint. Its tensors are read from the file when asked for, until it is closed. */
export interface TorchCheckpoint {
  readonly value: TorchValue;
  /** The file on disk that it is in, if it is known. */
  readonly file?: StoredFile | undefined;
  /** Close its file. */
  close(): Promise<void>;
}

/** The pickle describes tensors but does not hold them: real ones take less than 1 MB. */
const MAX_PICKLE = 64 * 2 ** 20;

const ZIP_MAGIC = [0x50, 0x4b];

/**
 * Open a `.pt` file: its description is read and checked, its tensors are not. It takes over the source, closing it on
 * failure.
 * @throws {FormatError} if it is not a PyTorch checkpoint, is damaged or big-endian, or asks for something that runs
 * code. Objects of unknown classes have only the class's name and their attributes.
 */
export function openTorchCheckpoint(source: ByteSource): Promise<TorchCheckpoint> {
  return closingOnError(source, async () => {
    const start = await source.read(0, Math.min(source.size, LOOKED_AT));
    const { file } = source;
    if (isLegacyCheckpoint(start)) {
      return { value: await readLegacyCheckpoint(source), file, close: () => source.close() };
    }
    checkMagic(start, source.name);
    const members = await openZip(source);
    const folder = checkpointFolder(members, source.name);
    await checkByteOrder(members.get(`${folder}byteorder`), source.name);
    const pickle = await readPickle(members.get(`${folder}data.pkl`), source.name);
    const { value } = unpickleTorch(pickle, (key) => members.get(`${folder}data/${key}`), source.name);
    return { value, file, close: () => source.close() };
  });
}

/**
 * The tensors of a dict, such as a checkpoint's `model`, as an archive. Entries that are not tensors are left out.
 * @param close what closing the archive should close.
 * @throws {FormatError} if the value is not a dict with tensors.
 */
export function stateDict(
  value: TorchValue | undefined,
  close = async (): Promise<void> => {},
): TensorArchive {
  if (!(value instanceof Map)) throw new FormatError('a state dict should be a dict of tensors');
  const tensors = new Map<string, TorchTensor>();
  for (const [name, item] of value) {
    if (typeof name !== 'string') continue;
    if (isTorchTensor(item)) tensors.set(name, item);
    else requireNoTensor(item, name);
  }
  if (tensors.size === 0) {
    throw new FormatError(`a state dict should hold tensors; its keys are ${printableList(value.keys())}`);
  }
  return archiveOfTensors(tensors, close);
}

/** Tensors of kinds that are not read: sparse, quantized, nested. */
const UNREAD_TENSOR = /^torch\._utils\._rebuild_/;

function requireNoTensor(value: TorchValue, name: string): void {
  if (!isNamespace(value) || !UNREAD_TENSOR.test(value.className)) return;
  throw new FormatError(
    `${printable(name)} is a tensor of ${value.className}, which cannot be read; save it as a dense tensor`,
  );
}

/** Max characters of a tensor's path; sharing could make it far longer than the file. */
const MAX_PATH = 1000;

/**
 * All tensors in a value, in the order they stand there, as an archive; each is named by the keys of the dicts and the
 * attributes of the modules that lead to it, such as `encoder.conv.weight`.
 * @param close what closing the archive should close.
 * @throws {FormatError} if a path is longer than 1000 characters.
 */
export function nestedTensors(value: TorchValue, close = async (): Promise<void> => {}): TensorArchive {
  const tensors = new Map<string, TorchTensor>();
  const collect = (path: string, item: TorchValue): void => {
    if (path.length > MAX_PATH) throw new FormatError(`the path ${printable(path)} to a tensor is too long`);
    if (isTorchTensor(item)) tensors.set(path, item);
    else {
      for (const [key, inner] of namedParts(item)) {
        const part = typeof key === 'string' ? key : printable(key);
        collect(path === '' ? part : `${path}.${part}`, inner);
      }
    }
  };
  collect('', value);
  return archiveOfTensors(tensors, close);
}

function namedParts(value: TorchValue): Iterable<readonly [TorchValue, TorchValue]> {
  if (value instanceof Map) return value;
  return isNamespace(value) ? value.attributes : [];
}

function archiveOfTensors(tensors: ReadonlyMap<string, TorchTensor>, close: () => Promise<void>) {
  const missing = 'the state dict holds no tensor';
  return archiveOf({ tensors, missing, read: (tensor, room) => tensor.read(room), close });
}

/** Whether a value of a checkpoint is a tensor. */
export function isTorchTensor(value: TorchValue | undefined): value is TorchTensor {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'tensor';
}

/** Checks whether a value of a checkpoint is an object with attributes. */
export function isNamespace(value: TorchValue | undefined): value is TorchNamespace {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'namespace';
}

function checkMagic(start: Uint8Array, name: string): void {
  if (ZIP_MAGIC.every((byte, i) => start[i] === byte)) return;
  const unknown =
    'is not a PyTorch checkpoint: it is neither a zip archive nor an older file as torch.save makes';
  throw new FormatError(`${name}: ${mistakenFile(start, 'torch') ?? unknown}`);
}

/** Everything is in one folder, whose name varies. */
function checkpointFolder(members: ReadonlyMap<string, ZipMember>, name: string): string {
  const pickles = [...members.keys()].filter((member) => /^[^/]+\/data\.pkl$/.test(member));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length !== 1) {
    throw new FormatError(
      `${name}: is not a PyTorch checkpoint: it should hold one data.pkl but has ${pickles.length}`,
    );
  }
  return pickle.slice(0, -'data.pkl'.length);
}

async function checkByteOrder(member: ZipMember | undefined, name: string): Promise<void> {
  if (!member) return; // not written before PyTorch 2.1
  const order = member.size <= 16 ? new TextDecoder().decode(await member.read()) : 'damaged';
  if (order === 'little') return;
  throw new FormatError(
    `${name}: its byte order is ${order === 'big' ? 'big-endian' : 'not known'}; re-save it on a little-endian machine`,
  );
}

async function readPickle(member: ZipMember | undefined, name: string): Promise<Uint8Array> {
  if (!member || member.size > MAX_PICKLE) {
    throw new FormatError(`${name}: its data.pkl of ${member?.size} bytes is implausibly large`);
  }
  return member.read();
}
