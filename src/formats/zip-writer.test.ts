import { type FileEntry, Uint8ArrayReader, Uint8ArrayWriter, ZipReader } from '@zip.js/zip.js';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../io/byte-source.ts';
import { openZip } from './zip.ts';
import { directoryEnd, directoryHeader, localHeader, type StoredFile, writeStoredZip } from './zip-writer.ts';

const stored = (name: string, bytes: Uint8Array): StoredFile => ({ name, read: async () => bytes });

/** What was written, held by reference: an archive larger than memory, of files that share theirs. */
function writtenPieces(): { pieces: Uint8Array[]; write: (bytes: Uint8Array) => Promise<void> } {
  const pieces: Uint8Array[] = [];
  return { pieces, write: async (bytes) => void pieces.push(bytes) };
}

/** The pieces as one file. */
function source(pieces: readonly Uint8Array[]): ByteSource {
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  return {
    name: 'pieces',
    size,
    async read(offset, length) {
      const out = new Uint8Array(length);
      let start = 0;
      for (const piece of pieces) {
        const from = Math.max(offset - start, 0);
        const to = Math.min(offset + length - start, piece.length);
        if (from < to) out.set(piece.subarray(from, to), start + from - offset);
        start += piece.length;
      }
      return out;
    },
    async close() {},
  };
}

describe('writeStoredZip', () => {
  it('writes what zip.js reads, checksums included', async () => {
    const { pieces, write } = writtenPieces();
    const files = {
      'a/é.txt': Uint8Array.of(1, 2, 3),
      empty: new Uint8Array(),
      b: new Uint8Array(1000).fill(7),
    };
    await writeStoredZip(
      write,
      Object.entries(files).map(([name, bytes]) => stored(name, bytes)),
      64,
    );
    const members = await openZip(source(pieces));
    expect([...members.keys()]).toEqual(Object.keys(files));
    for (const [name, bytes] of Object.entries(files)) expect(await members.get(name)!.read()).toEqual(bytes);
    expect(Buffer.concat(pieces).includes('PK\x06\x06')).toBe(false); // no zip64 where it is not needed
  });

  it.each([1, 16, 64, 4096])('aligns every file to %s bytes', async (alignment) => {
    const { pieces, write } = writtenPieces();
    const bytes = ['x', 'yy', 'zzz'].map((text) => new TextEncoder().encode(text.repeat(33)));
    await writeStoredZip(
      write,
      bytes.map((content, i) => stored('n'.repeat(i + 1), content)),
      alignment,
    );
    const placeOf = (piece: Uint8Array): number =>
      pieces.slice(0, pieces.indexOf(piece)).reduce((sum, { length }) => sum + length, 0);
    for (const content of bytes) expect(placeOf(content) % alignment).toBe(0);
  });

  it('goes beyond 4 GB', { timeout: 120_000 }, async () => {
    const { pieces, write } = writtenPieces();
    const block = new Uint8Array(2 ** 28).fill(1);
    const files = Array.from({ length: 17 }, (_, i) => stored(`block ${i}`, block));
    await writeStoredZip(write, [...files, stored('last', Uint8Array.of(5, 6, 7))], 64);
    const whole = source(pieces);
    expect(whole.size).toBeGreaterThan(2 ** 32);
    const members = await openZip(whole);
    expect(members.size).toBe(18);
    expect(await members.get('last')!.read()).toEqual(Uint8Array.of(5, 6, 7));
    expect(await members.get('block 16')!.readRange(2 ** 28 - 2, 2)).toEqual(Uint8Array.of(1, 1));
  });

  it('holds more files than 16 bits count', { timeout: 120_000 }, async () => {
    const { pieces, write } = writtenPieces();
    const files = Array.from({ length: 65_600 }, (_, i) => stored(String(i), Uint8Array.of(i & 255)));
    await writeStoredZip(write, files, 1);
    const bytes = Buffer.concat(pieces);
    await expect(openZip(source([bytes]))).rejects.toThrow(/holds more than 20000 files/); // others read them
    const entries = await new ZipReader(new Uint8ArrayReader(bytes)).getEntries();
    expect(entries.length).toBe(65_600);
    const last = entries[65_599] as FileEntry;
    expect(last.filename).toBe('65599');
    expect(await last.getData(new Uint8ArrayWriter())).toEqual(Uint8Array.of(65_599 & 255));
  });
});

const hex = (...parts: Uint8Array[]): string => Buffer.concat(parts).toString('hex');
const name = new TextEncoder().encode('é');
const small = { name, crc: 0x89abcdef, size: 10, offset: 7 };
const large = { name, crc: 1, size: 2 ** 32, offset: 2 ** 33 + 5 };

// The expected bytes are those of Python's zipfile (ZipInfo.FileHeader, ZipFile._write_end_record), which pads nothing.
describe('the records of a zip archive', () => {
  it('have no zip64 for small files', () => {
    const header = '504b030414000008000000002100efcdab890a0000000a00000002000400c3a9';
    expect(hex(localHeader(small, 1))).toBe(`${header}46420000`);
    const directory = directoryHeader(small);
    expect(hex(directory, directoryEnd(1, 100, 100 + directory.length, new TextEncoder().encode('hi')))).toBe(
      '504b0102140014000008000000002100efcdab890a0000000a000000020000000000000000000000000007000000c3a9' +
        '504b05060000000001000100300000006400000002006869',
    );
  });

  it('have zip64 for files of 4 GB and beyond 4 GB', () => {
    const header = '504b03042d00000800000000210001000000ffffffffffffffff02001800c3a9';
    expect(hex(localHeader(large, 1))).toBe(`${header}010010000000000001000000000000000100000046420000`);
    const directory = directoryHeader(large);
    expect(hex(directory, directoryEnd(1, 2 ** 33, 2 ** 33 + directory.length))).toBe(
      '504b01022d002d00000800000000210001000000ffffffffffffffff02001c0000000000000000000000ffffffffc3a9' +
        '01001800000000000100000000000000010000000500000002000000' +
        '504b06062c000000000000002d002d000000000000000000010000000000000001000000000000004c000000000000000000000002000000' +
        '504b0607000000004c0000000200000001000000' +
        '504b050600000000010001004c000000ffffffff0000',
    );
  });

  it('pad the content to its alignment', () => {
    for (const offset of [0, 1, 24, 27, 28, 29, 63, 64]) {
      const header = localHeader({ ...small, offset }, 64);
      expect((offset + header.length) % 64).toBe(0);
      expect(header.length).toBeLessThan(36 + 64); // the shortest padding
      const padding = header.subarray(36);
      expect(hex(header.subarray(32, 36))).toBe(
        hex(Uint8Array.of(0x46, 0x42, padding.length, 0)), // PyTorch's extra field
      );
      expect([...padding]).toEqual(Array(padding.length).fill(0x5a));
    }
  });

  it.each([
    [65_534, 10, 20, false],
    [65_535, 10, 20, true],
    [1, 2 ** 32 - 2, 2 ** 32 + 100, false],
    [1, 2 ** 32 - 1, 2 ** 32 + 100, true],
    [1, 10, 2 ** 32 + 8, false],
    [1, 10, 2 ** 32 + 9, true],
  ])('end %i files from %i to %i (zip64: %s)', (count, start, end, isZip64) => {
    expect(directoryEnd(count, start, end)).toHaveLength(isZip64 ? 56 + 20 + 22 : 22);
  });
});
