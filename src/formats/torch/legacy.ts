/**
 * @file PyTorch checkpoints in the format before 1.6, which `_use_new_zipfile_serialization=False` still writes
 * (torch/serialization.py, `_legacy_save`): five pickles one after the other (a magic number, the format's version,
 * facts of the machine, the object, the keys of its storages), then each storage with its element count before it.
 */

import { FormatError } from '../../errors.ts';
import { type ByteSource, checkRange } from '../../io/byte-source.ts';
import { printable } from '../../io/printable.ts';
import { type PickleHost, type PickleValue, unpickle } from './pickle.ts';
import { TruncatedPickle } from './pickle-reader.ts';
import { type FindStorage, type StorageFile, type TorchValue, unpickleTorch } from './torch-pickle.ts';

/** How such files begin: the pickled magic number, with its protocol and, from protocol 4 on, a frame before it. */
const MAGIC = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const [PROTO, PROTO_BYTES] = [0x80, 2];
const [FRAME, FRAME_BYTES] = [0x95, 9];
const VERSION = 1001;

/** Bytes read at first; a checkpoint's pickles are seldom larger. */
const FIRST_READ = 2 ** 20;
/** The pickles describe tensors but do not hold them. */
const MAX_PICKLES = 64 * 2 ** 20;
const COUNT_BYTES = 8;
/** The same limit as for files in a zip archive: each costs a read. */
const MAX_STORAGES = 20_000;

/** Whether a file that begins with `start` is in the old format. */
export function isLegacyCheckpoint(start: Uint8Array): boolean {
  if (start[0] !== PROTO) return false;
  const magic = start.subarray(PROTO_BYTES + (start[PROTO_BYTES] === FRAME ? FRAME_BYTES : 0));
  return MAGIC.every((byte, i) => magic[i] === byte);
}

/**
 * The value of a checkpoint in the old format. Its tensors are read from the source when asked for.
 * @throws {FormatError} if it is damaged, malicious or big-endian, or names anything but tensors and plain data.
 */
export async function readLegacyCheckpoint(source: ByteSource): Promise<TorchValue> {
  const whole = Math.min(source.size, MAX_PICKLES);
  // How long the pickles are is known only once they are read, so a beginning of the file is tried, then a longer one.
  for (let length = FIRST_READ; ; length *= 4) {
    const storages = new LegacyStorages(source);
    const bytes = await source.read(0, Math.min(length, whole));
    try {
      const { value, keys, end } = parsePickles(bytes, storages.find, source.name);
      await storages.locate(keys, end);
      return value;
    } catch (error) {
      if (!(error instanceof TruncatedPickle) || length >= whole) throw error;
    }
  }
}

function parsePickles(bytes: Uint8Array, storages: FindStorage, name: string) {
  const plain = (start: number) => unpickle(bytes, plainHost(name), name, start);
  const magic = plain(0);
  const version = plain(magic.end);
  if (version.value !== VERSION) {
    throw new FormatError(
      `${name}: is in version ${printable(version.value)} of PyTorch's old format; ${VERSION} is known`,
    );
  }
  const machine = plain(version.end);
  if (!(machine.value instanceof Map) || machine.value.get('little_endian') !== true) {
    throw new FormatError(`${name}: is not little-endian; re-save it on a little-endian machine`);
  }
  const { value, end } = unpickleTorch(bytes, storages, name, machine.end);
  const keys = plain(end);
  if (!isTexts(keys.value)) throw new FormatError(`${name}: its list of storages is damaged`);
  if (keys.value.length > MAX_STORAGES) {
    throw new FormatError(
      `${name}: holds ${keys.value.length} storages, more than ${MAX_STORAGES}, the most that are read`,
    );
  }
  return { value, keys: keys.value, end: keys.end };
}

function isTexts(value: PickleValue<never>): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Makes a host for pickles of nothing but numbers, strings, lists and dicts. */
function plainHost(name: string): PickleHost<never> {
  const refuse = (): never => {
    throw new FormatError(`${name}: its header names things to call; the file is damaged or malicious`);
  };
  return {
    global: refuse,
    call: refuse,
    build: refuse,
    append: refuse,
    setItems: refuse,
    persistent: refuse,
  };
}

/** Storages that the pickle names before it is known where they are. */
class LegacyStorages {
  readonly #source: ByteSource;
  readonly #sizes = new Map<string, number>();
  readonly #offsets = new Map<string, number>();

  constructor(source: ByteSource) {
    this.#source = source;
  }

  readonly find: FindStorage = (key, size): StorageFile => {
    const known = this.#sizes.get(key) ?? size;
    this.#sizes.set(key, known);
    return { size: known, readRange: (offset, length, room) => this.#read(key, offset, length, room) };
  };

  /** Find where each storage lies: in the order of `keys` from `start` on, each after its element count. */
  async locate(keys: readonly string[], start: number): Promise<void> {
    const { name } = this.#source;
    let position = start;
    for (const key of keys) {
      const size = this.#sizes.get(key);
      if (size === undefined || this.#offsets.has(key)) {
        const what = size === undefined ? 'no tensor uses' : 'it lists twice';
        throw new FormatError(`${name}: holds a storage ${printable(key)} that ${what}; the file is damaged`);
      }
      await this.#checkCount(key, position, size);
      this.#offsets.set(key, position + COUNT_BYTES);
      position += COUNT_BYTES + size;
    }
    const missing = [...this.#sizes.keys()].find((key) => !this.#offsets.has(key));
    if (missing !== undefined) {
      throw new FormatError(`${name}: storage ${printable(missing)} is missing; the file is damaged`);
    }
  }

  /** The count is in elements, whose size only the pickle says. */
  async #checkCount(key: string, position: number, size: number): Promise<void> {
    checkRange(this.#source, position, COUNT_BYTES + size);
    const bytes = await this.#source.read(position, COUNT_BYTES);
    const count = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    if (count === 0 ? size === 0 : [1, 2, 4, 8].includes(size / count)) return;
    throw new FormatError(
      `${this.#source.name}: storage ${printable(key)} should have ${size} bytes but has ${count} elements`,
    );
  }

  #read(key: string, offset: number, length: number, room?: Uint8Array): Promise<Uint8Array> {
    return this.#source.read((this.#offsets.get(key) ?? Number.NaN) + offset, length, room);
  }
}
