import { type FileEntry, Uint8ArrayReader, Uint8ArrayWriter, ZipReader } from '@zip.js/zip.js';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../io/byte-source.ts';
import { openZip } from './zip.ts';
import { type StoredFile, writeStoredZip } from './zip-writer.ts';

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
