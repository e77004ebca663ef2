/** @file NumPy's `.npz` format: a zip archive of `.npy` files. */

import { FormatError } from '../errors.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';
import { printable, printableList } from '../io/printable.ts';
import { LOOKED_AT, mistakenFile } from '../io/wrong-file-kind.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { encodeNpy, parseNpy, parseNpyText } from './npy.ts';
import { type NpyStream, streamNpy } from './npy-stream.ts';
import type { TensorArchive } from './tensor-archive.ts';
import { encodeZip, openZip, type ZipMember } from './zip.ts';

/** The arrays of an `.npz` file, each read when asked for, by their names without `.npy`. */
export interface Npz extends Omit<TensorArchive, 'info' | 'metadata' | 'placeOf'> {
  /**
   * An array read piece by piece, which may be larger than memory.
   * @throws {FormatError} if there is no such array, or it is in Fortran order.
   */
  stream(name: string): Promise<NpyStream>;
  /** CRC-32 of an array's file, as the archive records it. @throws {FormatError} if there is no such array */
  checksum(name: string): number;
  /** The text that an array is. @throws {FormatError} if there is no such array, or it is not a single text. */
  readText(name: string): Promise<string>;
}

const SUFFIX = '.npy';

/**
 * Open an `.npz` file. It takes over the source, closing it on failure.
 * @throws {FormatError} if it is not a zip archive or is damaged.
 */
export function openNpz(source: ByteSource): Promise<Npz> {
  return closingOnError(source, async () => {
    const members = await openZip(source).catch(async (error) => {
      throw await explained(source, error);
    });
    const arrays = [...members.keys()].filter((name) => name.endsWith(SUFFIX));
    const find = (name: string): ZipMember => {
      const member = members.get(name + SUFFIX);
      if (member) return member;
      throw new FormatError(
        `${source.name}: holds no array '${printable(name)}'; it has ${printableList(arrays.map(withoutSuffix), 5)}`,
      );
    };
    return {
      names: arrays.map(withoutSuffix),
      has: (name) => members.has(name + SUFFIX),
      read: async (name) => parseNpy(await find(name).read(), `${source.name}/${name}`),
      readText: async (name) => parseNpyText(await find(name).read(), `${source.name}/${name}`),
      checksum: (name) => find(name).crc,
      stream: async (name) => streamNpy(find(name).stream(), `${source.name}/${name}`),
      close: () => source.close(),
    };
  });
}

/** Names the kind of file that was given instead of an `.npz`, if it is known; else returns the error unchanged. */
async function explained(source: ByteSource, error: unknown): Promise<unknown> {
  const start = await source.read(0, Math.min(source.size, LOOKED_AT)).catch(() => undefined);
  const mistaken = start && mistakenFile(start, 'npz');
  return mistaken === undefined ? error : new FormatError(`${source.name}: ${mistaken}`, { cause: error });
}

/** Named tensors as an `.npz` file, as `numpy.savez` (or, with `compress`, `numpy.savez_compressed`) writes it. */
export function encodeNpz(
  arrays: Readonly<Record<string, Tensor>>,
  options: { compress?: boolean } = {},
): Promise<Uint8Array> {
  const files = Object.entries(arrays).map(([name, value]): [string, Uint8Array] => [
    name + SUFFIX,
    encodeNpy(value),
  ]);
  return encodeZip(files, options.compress ?? false);
}

function withoutSuffix(member: string): string {
  return member.slice(0, -SUFFIX.length);
}
