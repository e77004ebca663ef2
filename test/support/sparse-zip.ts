/** @file Zip archives larger than any test could write: the contents of large members are holes in the file. */

import { type FileHandle, open } from 'node:fs/promises';

/** A member with contents, with so many zeros, or with contents and then zeros. */
export type SparseMember = readonly [
  name: string,
  content: Uint8Array | number | readonly [Uint8Array, number],
];

/** Where the contents of members lie. */
export type Places = ReadonlyMap<string, { readonly start: number; readonly end: number }>;

const LOCAL_HEADER_LENGTH = 30;
const ZIP64 = 0xffffffff;

/** Write a stored archive in the zip64 format, with no CRCs. */
export async function writeSparseZip(path: string, members: readonly SparseMember[]): Promise<Places> {
  const file = await open(path, 'w');
  try {
    const places = new Map<string, { start: number; end: number }>();
    const directory: Buffer[] = [];
    let position = 0;
    for (const [name, content] of members) {
      const [bytes, zeros] = partsOf(content);
      const size = bytes.length + zeros;
      directory.push(directoryEntry(name, size, position));
      await put(file, localHeader(name), position);
      const start = position + LOCAL_HEADER_LENGTH + name.length;
      await put(file, bytes, start);
      position = start + size;
      places.set(name, { start, end: position });
    }
    const entries = Buffer.concat(directory);
    await put(file, entries, position);
    await put(file, directoryEnd(members.length, position, entries.length), position + entries.length);
    return places;
  } finally {
    await file.close();
  }
}

function partsOf(content: SparseMember[1]): readonly [Uint8Array, number] {
  if (typeof content === 'number') return [new Uint8Array(), content];
  return content instanceof Uint8Array ? [content, 0] : content;
}

async function put(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  await file.write(bytes, 0, bytes.length, position);
}

/** Its sizes are left to the directory, as in a streamed archive. */
function localHeader(name: string): Buffer {
  const header = Buffer.alloc(LOCAL_HEADER_LENGTH);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(8, 6); // a data descriptor follows
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, Buffer.from(name, 'latin1')]);
}

function directoryEntry(name: string, size: number, offset: number): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(8, 8);
  for (const field of [20, 24, 42]) header.writeUInt32LE(ZIP64, field); // sizes and offset
  header.writeUInt16LE(name.length, 28);
  const extra = Buffer.alloc(28);
  header.writeUInt16LE(extra.length, 30);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(24, 2);
  for (const [i, value] of [size, size, offset].entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  return Buffer.concat([header, Buffer.from(name, 'latin1'), extra]);
}

function directoryEnd(count: number, start: number, size: number): Buffer {
  const end = Buffer.alloc(56 + 20 + 22);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  for (const at of [24, 32]) end.writeBigUInt64LE(BigInt(count), at);
  end.writeBigUInt64LE(BigInt(size), 40);
  end.writeBigUInt64LE(BigInt(start), 48);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(start + size), 64);
  end.writeUInt32LE(1, 72);
  end.writeUInt32LE(0x06054b50, 76);
  for (const at of [84, 86]) end.writeUInt16LE(0xffff, at);
  for (const at of [88, 92]) end.writeUInt32LE(ZIP64, at);
  return end;
}
