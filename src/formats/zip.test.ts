import { describe, expect, it } from 'vitest';
import { countingSource } from '../../test/support/counting-source.ts';
import { FormatError } from '../errors.ts';
import { bytesSource } from '../io/byte-source.ts';
import { encodeZip, openZip, zipComment } from './zip.ts';

/** Python's zipfile: `folder/`, `folder/stored.txt` (stored), `deflated.txt` (deflated), and the comment 'Grüße'. */
const archive = Buffer.from(
  'UEsDBBQAAAAAAAAAIQAAAAAAAAAAAAAAAAAHAAAAZm9sZGVyL1BLAwQUAAAAAAAAACEAxseEpgoAAAAKAAAAEQAAAGZvbGRlci9zdG9yZWQu' +
    'dHh0MDEyMzQ1Njc4OVBLAwQUAAAACAAAACEAAvCunAgAAAB4AAAADAAAAGRlZmxhdGVkLnR4dEtMSk4cCAQAUEsBAhQDFAAAAAAAAAAhAAAA' +
    'AAAAAAAAAAAAAAcAAAAAAAAAAAAAAIABAAAAAGZvbGRlci9QSwECFAMUAAAAAAAAACEAxseEpgoAAAAKAAAAEQAAAAAAAAAAAAAAgAElAAAA' +
    'Zm9sZGVyL3N0b3JlZC50eHRQSwECFAMUAAAACAAAACEAAvCunAgAAAB4AAAADAAAAAAAAAAAAAAAgAFeAAAAZGVmbGF0ZWQudHh0UEsFBgAA' +
    'AAADAAMArgAAAJAAAAAHAEdyw7zDn2U=',
  'base64',
);
const STORED = 'folder/stored.txt';
const DEFLATED = 'deflated.txt';
/** Where the records of the files begin. */
const STORED_HEADER = 37;
const STORED_ENTRY = 197;
const DEFLATED_ENTRY = 260;

const open = (bytes: Uint8Array = archive) => openZip(bytesSource(bytes, 'a.zip'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

async function streamed(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let all = '';
  for await (const piece of stream) all += text(piece);
  return all;
}

/** The archive with some bytes changed. */
function changed(...changes: readonly (readonly [position: number, ...bytes: number[]])[]): Uint8Array {
  const bytes = new Uint8Array(archive);
  for (const [position, ...values] of changes) bytes.set(values, position);
  return bytes;
}

describe('an archive that Python wrote', () => {
  it('has its files, without the folders, and its comment', async () => {
    const members = await open();
    expect([...members.values()].map(({ name, size }) => [name, size])).toEqual([
      [STORED, 10],
      [DEFLATED, 120],
    ]);
    expect(await zipComment(bytesSource(archive))).toBe('Grüße');
  });

  it.each([
    [STORED, '0123456789'],
    [DEFLATED, 'abc'.repeat(40)],
  ])('has the whole content of %s, its parts and its stream', async (name, content) => {
    const member = (await open()).get(name)!;
    expect(text(await member.read())).toBe(content);
    expect(text(await member.readRange(4, 5))).toBe(content.slice(4, 9));
    expect(text(await member.readRange(0, content.length))).toBe(content);
    expect(await member.readRange(content.length, 0)).toHaveLength(0);
    expect(await streamed(member.stream())).toBe(content);
    await expect(member.readRange(1, content.length)).rejects.toThrow(
      `a.zip/${name}: needs bytes 1 to ${content.length + 1} but the file ends at ${content.length}`,
    );
    await expect(member.readRange(-1, 1)).rejects.toThrow(FormatError);
  });

  it('reads parts of a stored file alone, and keeps the content of a compressed one', async () => {
    const counting = countingSource(bytesSource(archive));
    const members = await openZip(counting.source);
    const bytesOf = async (name: string, offset: number): Promise<number> => {
      const before = counting.bytesRead;
      await members.get(name)!.readRange(offset, 2);
      return counting.bytesRead - before;
    };
    expect(await bytesOf(STORED, 3)).toBe(30 + 2); // its header, and the part
    expect(await bytesOf(DEFLATED, 3)).toBeGreaterThan(0);
    expect(await bytesOf(DEFLATED, 60)).toBe(0);
  });
});

describe('a stored file', () => {
  it('is not checked if its CRC was not computed, as PyTorch can write it', async () => {
    const withoutCrc = changed([STORED_HEADER + 14, 0, 0, 0, 0], [STORED_ENTRY + 16, 0, 0, 0, 0]);
    const member = (await open(withoutCrc)).get(STORED)!;
    expect(text(await member.read())).toBe('0123456789');
    expect(await streamed(member.stream())).toBe('0123456789');
  });

  it('is read as a part even where its CRC is wrong', async () => {
    const member = (await open(changed([STORED_HEADER + 14, 1], [STORED_ENTRY + 16, 1]))).get(STORED)!;
    expect(text(await member.readRange(0, 10))).toBe('0123456789');
    await expect(member.read()).rejects.toThrow(`a.zip/${STORED}: is not a readable zip archive`);
    await expect(streamed(member.stream())).rejects.toThrow(FormatError);
  });

  it.each([
    ['signature', STORED_HEADER],
    ['method', STORED_HEADER + 8],
  ])('is refused if the %s in its local header is wrong', async (_, position) => {
    const member = (await open(changed([position, 8]))).get(STORED)!;
    await expect(member.readRange(0, 1)).rejects.toThrow(`a.zip/${STORED}: its local header is damaged`);
  });

  it('is found after the names and extra fields of its local header', async () => {
    // The name now ends two bytes early, and an extra field of four bytes follows.
    const member = (await open(changed([STORED_HEADER + 26, 15, 0, 4, 0]))).get(STORED)!;
    expect(text(await member.readRange(0, 3))).toBe('234');
    const beyond = (await open(changed([STORED_HEADER + 28, 0xff, 0xff]))).get(STORED)!;
    await expect(beyond.readRange(0, 1)).rejects.toThrow(/a\.zip: needs bytes .* truncated or damaged/);
  });
});

describe('a damaged archive', () => {
  it.each<[string, Uint8Array, string]>([
    [
      'is encrypted',
      changed([STORED_ENTRY + 8, 1]),
      `a.zip/${STORED}: is encrypted; decrypt the archive first`,
    ],
    [
      'has a stored file of two sizes',
      changed([STORED_ENTRY + 24, 11]),
      `a.zip/${STORED}: 10 bytes cannot hold its 11; it is damaged`,
    ],
    [
      'has a stored file that became smaller',
      changed([STORED_ENTRY + 24, 9]),
      `a.zip/${STORED}: 10 bytes cannot hold its 9; it is damaged`,
    ],
    [
      'inflates to more than deflate can make', // 1032 times 8 bytes, and one
      changed([DEFLATED_ENTRY + 24, 0x41, 0x20]),
      `a.zip/${DEFLATED}: 8 bytes cannot hold its 8257; it is damaged`,
    ],
    ['lies beyond the end', changed([STORED_ENTRY + 42, 0xff, 0xff]), 'a.zip: needs bytes 65535 to 65545'],
    ['is cut off', archive.subarray(0, -30), 'a.zip: is cut off: a zip archive ends with a directory'],
    ['has a damaged directory', changed([STORED_ENTRY, 0]), 'a.zip: is not a readable zip archive: '],
  ])('is refused if it %s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(FormatError);
    await expect(open(bytes)).rejects.toThrow(message);
  });

  it('is refused if two files have one name', async () => {
    const entries = ['aa', 'ab'].map((name): [string, Uint8Array] => [name, Uint8Array.of(1)]);
    const bytes = Buffer.from(await encodeZip(entries, false));
    bytes.write('aa', bytes.lastIndexOf('ab'));
    await expect(open(bytes)).rejects.toThrow("a.zip: holds 'aa' twice; it is damaged or malicious");
  });

  it('may claim up to as much as deflate can make', async () => {
    const member = (await open(changed([DEFLATED_ENTRY + 24, 0x40, 0x20]))).get(DEFLATED)!;
    expect(member.size).toBe(1032 * 8);
    await expect(member.read()).rejects.toThrow(FormatError);
  });

  it('is shown by a stream at its end, and not to a reader that stops before', async () => {
    const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 7);
    const bytes = await encodeZip([['a', content]], false);
    bytes[bytes.length - 1000] ^= 1;
    const member = (await open(bytes)).get('a')!;
    await expect(streamed(member.stream())).rejects.toThrow(/^a\.zip\/a: is not a readable zip archive/);
    for await (const piece of member.stream()) {
      expect(piece.length).toBeGreaterThan(0);
      expect(piece).toEqual(content.slice(0, piece.length));
      break;
    }
  });
});

describe('encodeZip', () => {
  it('compresses only if asked to, and depends on nothing but the files', async () => {
    const files: [string, Uint8Array][] = [['a.txt', new Uint8Array(10_000)]];
    const stored = await encodeZip(files, false);
    const compressed = await encodeZip(files, true);
    expect(stored.length).toBeGreaterThan(10_000);
    expect(compressed.length).toBeLessThan(500);
    expect(await encodeZip(files, true)).toEqual(compressed);
    for (const bytes of [stored, compressed]) {
      expect(await (await open(bytes)).get('a.txt')!.read()).toEqual(new Uint8Array(10_000));
      // 1 January 1980, 0:00, in the local header.
      expect([...bytes.subarray(10, 14)]).toEqual([0, 0, 0x21, 0]);
      expect(bytes.subarray(28, 30)).toEqual(Uint8Array.of(0, 0)); // no extra field
    }
  });
});
