/** @file Named tensors in a file, read one at a time: what safetensors and PyTorch checkpoints have in common. */

import { FormatError } from '../errors.ts';
import type { FilePlace, StoredFile } from '../io/byte-source.ts';
import { printable } from '../io/printable.ts';
import type { DType, Tensor } from '../tensor/tensor.ts';

/** What is known of a tensor before it is read. */
export interface TensorInfo {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor that is still in its file. */
export interface LazyTensor extends TensorInfo {
  /** Read its elements. @param room memory that may hold its data, if its bytes fit. */
  read(room?: Uint8Array): Promise<Tensor>;
}

/** A tensor and its name. */
export type Named<T> = readonly [name: string, T];

/** Free-form strings that are stored with tensors. */
export type Metadata = Readonly<Record<string, string>>;

/** Named tensors of a file, each read when asked for. */
export interface TensorArchive {
  readonly metadata: Metadata;
  readonly names: readonly string[];
  /** Whether there is a tensor of this name. */
  has(name: string): boolean;
  /** @throws {FormatError} if there is no such tensor. */
  info(name: string): TensorInfo;
  /**
   * @param room memory that may hold the tensor's data, if its bytes fit; else it gets memory of its own.
   * @throws {FormatError} if there is no such tensor or its bytes cannot be read.
   */
  read(name: string, room?: Uint8Array): Promise<Tensor>;
  /** Where a tensor's bytes are on disk, if that is known. */
  placeOf?(name: string): FilePlace | undefined;
  /** The files on disk that it is in, if these are known. */
  readonly files?: readonly StoredFile[];
  /** Close its file. */
  close(): Promise<void>;
}

/** What an archive is made of. */
export interface ArchiveParts<T extends TensorInfo> {
  readonly tensors: ReadonlyMap<string, T>;
  /** The message for a name that there is no tensor of, which follows: "x.pt: holds no tensor". */
  readonly missing: string;
  readonly metadata?: Metadata;
  read(tensor: T, room?: Uint8Array): Promise<Tensor>;
  placeOf?(tensor: T): FilePlace | undefined;
  readonly files?: readonly StoredFile[];
  close(): Promise<void>;
}

/** Makes an archive of tensors by their names. */
export function archiveOf<T extends TensorInfo>(parts: ArchiveParts<T>): TensorArchive {
  const { tensors, missing, metadata = {}, read, placeOf, files = [], close } = parts;
  const find = (name: string): T => findTensor(tensors, name, missing);
  return {
    metadata,
    names: [...tensors.keys()],
    has: (name) => tensors.has(name),
    info: (name) => ({ dtype: find(name).dtype, shape: find(name).shape }),
    read: async (name, room) => read(find(name), room),
    ...(placeOf && { placeOf: (name: string) => placeOf(find(name)) }),
    files,
    close,
  };
}

/** Returns the tensor of a name. @throws {FormatError} if there is none. */
export function findTensor<T>(tensors: ReadonlyMap<string, T>, name: string, missing: string): T {
  const found = tensors.get(name);
  if (found === undefined) throw new FormatError(`${missing} '${printable(name)}'`);
  return found;
}

/** An archive in which tensors have other names. @param stored from each name to the one in `archive`. */
export function renamedArchive(archive: TensorArchive, stored: ReadonlyMap<string, string>): TensorArchive {
  const inside = (name: string): string => stored.get(name) ?? name;
  return {
    metadata: archive.metadata,
    names: [...stored.keys()],
    has: (name) => stored.has(name),
    info: (name) => archive.info(inside(name)),
    read: (name, room) => archive.read(inside(name), room),
    placeOf: (name) => archive.placeOf?.(inside(name)),
    files: archive.files ?? [],
    close: () => archive.close(),
  };
}
