import { describe, expect, it } from 'vitest';
import { directoryEnd, directoryHeader, localHeader } from './zip-records.ts';

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
