/** @file Named tensors in a file, read one at a time: what safetensors and PyTorch checkpoints have in common. */

import type { DType, Tensor } from '../tensor/tensor.ts';

/** What is known of a tensor before it is read. */
export interface TensorInfo {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor that is still in its file. */
export interface LazyTensor extends TensorInfo {
  /**
   * Read its elements.
   * @param room memory that may hold its data, if its bytes fit.
   */
  read(room?: Uint8Array): Promise<Tensor>;
}

/** Named tensors of a file, each read when asked for. */
export interface TensorArchive {
  /** Free-form strings stored with the tensors. */
  readonly metadata: Readonly<Record<string, string>>;
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
  /** Close the file behind it. */
  close(): Promise<void>;
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
    close: () => archive.close(),
  };
}
