// @module-tag slow

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { pythonWithNumpy, runNumpy } from '../../test/support/python-numpy.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { AcditError, ArgumentError, FormatError } from '../errors.ts';
import { openFile } from '../io/file-source.ts';
import { tensor } from '../tensor/tensor.ts';
import { encodeNpz, openNpz } from './npz.ts';
import { isFinishedNpz, openResumableNpz, type ResumableArray } from './resumable-npz.ts';
import { type Journal, withMark, writeJournal } from './resumable-npz-journal.ts';
import { openZip, zipComment } from './zip.ts';

const array: ResumableArray = { name: 'arr_0', dtype: 'uint8', shape: [6, 2, 3] };
const origin = { model: 'abc', seed: 42, labels: [0, 1] };
const rows = (...numbers: number[]): Uint8Array =>
  Uint8Array.from(numbers.flatMap((number) => Array<number>(6).fill(number)));
const labels = { arr_1: tensor('int64', [6], BigInt64Array.from([0n, 1n, 2n, 3n, 4n, 5n])) };

let folder: string;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder, 'out.npz');
});

async function writeAtOnce(file = path): Promise<Buffer> {
  const npz = await openResumableNpz(file, array, origin);
  await npz.append(rows(0, 1, 2, 3, 4, 5));
  await npz.finish(labels);
  return readFileSync(file);
}

describe('openResumableNpz', () => {
  it('writes arrays that are read back, and only the finished file is left', async () => {
    await writeAtOnce();
    expect(readdirSync(folder)).toEqual(['out.npz']);
    const npz = await openNpz(await openFile(path));
    expect(npz.names).toEqual(['arr_0', 'arr_1']);
    const images = await npz.read('arr_0'); // checks the CRC
    expect(images).toMatchObject({ dtype: 'uint8', shape: [6, 2, 3] });
    expect([...images.data]).toEqual([...rows(0, 1, 2, 3, 4, 5)]);
    expect((await npz.read('arr_1')).data).toEqual(labels.arr_1.data);
    await npz.close();
  });

  it('keeps what the arrays were made with, and puts their elements where a page may begin', async () => {
    const bytes = await writeAtOnce();
    const source = await openFile(path);
    expect(JSON.parse(await zipComment(source))).toEqual({ ...origin, shape: array.shape });
    await source.close();
    expect(bytes.indexOf('\x93NUMPY', 0, 'latin1') % 64).toBe(0);
  });

  it('resumes after the rows that were safe, and overwrites what follows them', async () => {
    const whole = await writeAtOnce(join(folder, 'whole.npz'));
    for (let safe = 0; safe <= 6; safe++) {
      const first = await openResumableNpz(path, array, origin);
      if (safe > 0) await first.append(rows(...Array(safe).keys()));
      await first.close();
      // As a process leaves it that is killed while it writes.
      const partial = `${path}.partial`;
      writeFileSync(partial, Buffer.concat([readFileSync(partial), Buffer.alloc(safe * 5, 99)]));
      const second = await openResumableNpz(path, array, origin);
      expect(second.rows).toBe(safe);
      if (safe < 6) await second.append(rows(...[0, 1, 2, 3, 4, 5].slice(safe)));
      await second.finish(labels);
      expect(readFileSync(path).equals(whole)).toBe(true);
      truncateSync(path); // so that the next round does not take it for finished
    }
  });

  it('resumes after a kill between the end of the archive and its name', async () => {
    const whole = await writeAtOnce(join(folder, 'whole.npz'));
    const npz = await openResumableNpz(path, array, origin);
    await npz.append(rows(0, 1, 2, 3, 4, 5));
    await npz.close();
    writeFileSync(`${path}.partial`, whole);
    const again = await openResumableNpz(path, array, origin);
    expect(again.rows).toBe(6);
    await again.finish(labels);
    expect(readFileSync(path).equals(whole)).toBe(true);
  });

  it('resumes only with what it was begun with, and says what differs', async () => {
    const npz = await openResumableNpz(path, array, origin);
    await npz.append(rows(0));
    await npz.close();
    const other = { ...origin, seed: 43, cfg: 2 };
    await expect(openResumableNpz(path, array, other)).rejects.toThrow(
      /partial was begun with seed 42, not 43; cfg none, not 2; give the same to resume, or --overwrite to start again/,
    );
    await expect(openResumableNpz(path, { ...array, shape: [7, 2, 3] }, origin)).rejects.toThrow(
      'shape [6,2,3], not [7,2,3]',
    );
  });

  it('refuses what is damaged', async () => {
    const npz = await openResumableNpz(path, array, origin);
    await npz.append(rows(0, 1));
    await npz.close();
    rmSync(`${path}.partial`);
    await expect(openResumableNpz(path, array, origin)).rejects.toThrow(
      /is missing, but .*partial.json exists/,
    );
    writeFileSync(`${path}.partial.json`, '{"rows": -1}');
    await expect(openResumableNpz(path, array, origin)).rejects.toThrow(FormatError);
  });

  it.each(Array.from({ length: 9 }, (_, i) => i))(
    'makes damaged rows again, and no others (bit %i of row 3)',
    async (bit) => {
      const whole = await writeAtOnce(join(folder, 'whole.npz'));
      const partial = `${path}.partial`;
      const first = await openResumableNpz(path, array, origin);
      // A mark after each row.
      for (const row of [0, 1, 2, 3, 4]) {
        vi.spyOn(performance, 'now').mockReturnValue(1e9 + 3000 * row);
        await first.append(rows(row));
      }
      vi.restoreAllMocks();
      await first.close();
      const bytes = readFileSync(partial);
      const position = bytes.length - 2 * 6 + Math.floor(bit / 2);
      bytes[position] ^= 1 << (bit % 8);
      writeFileSync(partial, bytes);
      const warn = vi.fn();
      const second = await openResumableNpz(path, array, origin, warn);
      expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('damaged after row 3 of 5'));
      expect(second.rows).toBe(3);
      await second.append(rows(3, 4, 5));
      await second.finish(labels);
      expect(readFileSync(path).equals(whole)).toBe(true);
    },
  );

  it('continues after the last row of a file that was cut', async () => {
    const npz = await openResumableNpz(path, array, origin);
    await npz.append(rows(0, 1));
    await npz.close();
    truncateSync(`${path}.partial`, statSync(`${path}.partial`).size - 1);
    const warn = vi.fn();
    const again = await openResumableNpz(path, array, origin, warn);
    expect(again.rows).toBe(0);
    expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('damaged after row 0 of 2'));
    await again.append(rows(0, 1, 2, 3, 4, 5));
    await again.finish(labels);
    expect(readFileSync(path).equals(await writeAtOnce(join(folder, 'whole.npz')))).toBe(true);
  });

  it('refuses a journal in which any bit was flipped', async () => {
    const npz = await openResumableNpz(path, array, origin);
    await npz.append(rows(0, 1));
    await npz.close();
    const journal = `${path}.partial.json`;
    const bytes = readFileSync(journal);
    // The line break at the end has no meaning, and other white space would do.
    for (let bit = 0; bit < 8 * (bytes.length - 1); bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(journal, flipped);
      await expect(openResumableNpz(path, array, origin), `bit ${bit}`).rejects.toThrow(AcditError);
    }
  });

  it('keeps marks all over a long file', async () => {
    let marks: ReturnType<typeof withMark> = [];
    for (let row = 1; row <= 10_000; row++) marks = withMark(marks, { rows: row, crc: row });
    expect(marks.length).toBeLessThanOrEqual(128);
    expect(marks.at(-1)).toEqual({ rows: 10_000, crc: 10_000 });
    const gaps = marks.map(({ rows }, i) => rows - (marks[i - 1]?.rows ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(500);
  });

  it('stops where another process has written, and changes nothing', async () => {
    const [first, second] = [
      await openResumableNpz(path, array, origin),
      await openResumableNpz(path, array, origin),
    ];
    await second.append(rows(0, 1, 2));
    await expect(first.append(rows(0))).rejects.toThrow('another process changed it');
    await second.append(rows(3, 4, 5));
    await second.finish(labels);
    await expect(first.append(rows(0))).rejects.toThrow(AcditError);
    await first.close();
    expect(existsSync(`${path}.partial`)).toBe(false);
    expect(readFileSync(path).equals(await writeAtOnce(join(folder, 'whole.npz')))).toBe(true);
  });

  it('takes whole rows only, and as many as there are', async () => {
    const npz = await openResumableNpz(path, array, origin);
    await expect(npz.append(new Uint8Array(7))).rejects.toThrow(ArgumentError);
    await npz.append(rows(0, 1, 2, 3, 4));
    await expect(npz.append(rows(5, 6))).rejects.toThrow('the 1 that are left');
    await expect(npz.finish(labels)).rejects.toThrow('only 5 of 6 rows');
    await npz.close();
  });

  it('reports a full disk, and resumes once there is space', async () => {
    const npz = await openResumableNpz(path, array, origin);
    await npz.append(rows(0, 1));
    const probe = await open(path.concat('.partial'));
    const write = vi.spyOn(Object.getPrototypeOf(probe), 'write');
    await probe.close();
    write.mockRejectedValueOnce(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    try {
      await expect(npz.append(rows(2))).rejects.toThrow(`cannot write ${path}.partial: the disk is full`);
    } finally {
      write.mockRestore();
    }
    await npz.close();
    const again = await openResumableNpz(path, array, origin);
    expect(again.rows).toBe(2);
    await again.append(rows(2, 3, 4, 5));
    await again.finish(labels);
    expect(readFileSync(path).equals(await writeAtOnce(join(folder, 'whole.npz')))).toBe(true);
  });

  it('reports a missing folder', async () => {
    await expect(openResumableNpz(join(folder, 'none', 'out.npz'), array, origin)).rejects.toThrow(
      'its folder does not exist',
    );
  });
});

describe('isFinishedNpz', () => {
  it('refuses a journal or a comment of deep lists, and quotes little of a foreign one', async () => {
    await (await openResumableNpz(path, array, origin)).close();
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const journal = (value: string): string => `{"origin":{"labels":${value}},"rows":0,"crc":0}`;
    writeFileSync(`${path}.partial.json`, journal(deep));
    await expect(openResumableNpz(path, array, origin)).rejects.toThrow(/nested more than 100 levels/);
    writeFileSync(`${path}.partial.json`, journal(`"\u001b[2J${'x'.repeat(100_000)}"`));
    await expect(openResumableNpz(path, array, origin)).rejects.toThrow(/^[\x20-\x7e]{1,1000}$/);
  });

  it('writes and resumes a file with the longest name there is', async () => {
    const long = join(folder, `${'n'.repeat(251)}.npz`);
    const begun = await openResumableNpz(long, array, origin);
    await begun.append(rows(0, 1));
    await begun.close();
    const resumed = await openResumableNpz(long, array, origin);
    expect(resumed.rows).toBe(2);
    await resumed.append(rows(2, 3, 4, 5));
    await resumed.finish(labels);
    expect(readdirSync(folder)).toEqual([`${'n'.repeat(251)}.npz`]);
    expect(readFileSync(long)).toEqual(await writeAtOnce());
  });

  it('knows a finished file, and takes away a journal that was left', async () => {
    expect(await isFinishedNpz(path, array, origin)).toBe(false);
    await writeAtOnce();
    writeFileSync(`${path}.partial.json`, 'whatever');
    expect(await isFinishedNpz(path, array, origin)).toBe(true);
    expect(readdirSync(folder)).toEqual(['out.npz']);
  });

  it('refuses one with another origin, or with none', async () => {
    await writeAtOnce();
    await expect(isFinishedNpz(path, array, { ...origin, labels: [1] })).rejects.toThrow(
      'is finished, but was made with labels [0,1], not [1]; give --overwrite to replace it, or another name',
    );
    const foreign = await encodeNpz({ arr_0: labels.arr_1 });
    for (const content of ['', 'hello', foreign]) {
      writeFileSync(path, content);
      await expect(isFinishedNpz(path, array, origin)).rejects.toThrow(
        'does not record what it was made with',
      );
    }
  });
});

describe('an array of more than 4 GB', () => {
  const rowBytes = 2 ** 20;
  let largePath: string;
  const large: ResumableArray = { name: 'arr_0', dtype: 'uint8', shape: [4100, 2 ** 10, 2 ** 10] };

  /** All rows but the last are zeros, most of them a hole in the file. */
  beforeAll(async () => {
    const sparseFolder = mkdtempSync(join(tmpdir(), 'acdit-test-'));
    largePath = join(sparseFolder, 'out.npz');
    const partial = `${largePath}.partial`;
    const journalPath = `${partial}.json`;
    const row = new Uint8Array(rowBytes);
    const begun = await openResumableNpz(largePath, large, origin);
    await begun.append(row);
    await begun.close();
    const journal: Journal = JSON.parse(readFileSync(journalPath, 'utf8'));
    truncateSync(partial, statSync(partial).size + 4098 * rowBytes);
    let { crc } = journal.marks.at(-1)!;
    for (let i = 0; i < 4098; i++) crc = crc32(row, crc);
    await writeJournal(journalPath, { origin: journal.origin, marks: [{ rows: 4099, crc }] });
    const npz = await openResumableNpz(largePath, large, origin);
    await npz.append(row.fill(7));
    await npz.finish(labels);
    return () => rmSync(sparseFolder, { recursive: true });
  });

  it('is read back', async () => {
    const source = await openFile(largePath);
    const members = await openZip(source);
    const member = members.get('arr_0.npy')!;
    expect(member.size).toBe(128 + 4100 * rowBytes);
    expect(source.size).toBeGreaterThan(2 ** 32);
    expect([...(await member.readRange(member.size - rowBytes - 2, 4))]).toEqual([0, 0, 7, 7]);
    const npz = await openNpz(source);
    expect((await npz.read('arr_1')).data).toEqual(labels.arr_1.data);
    await npz.close();
  });

  it.skipIf(pythonWithNumpy === undefined)('is read by NumPy', async () => {
    expect(runNumpy(SCRIPT, largePath)).toEqual({
      names: ['arr_0', 'arr_1'],
      size: 128 + 4100 * rowBytes,
      shape: large.shape,
      dtype: 'uint8',
      ends: [0, 0, 7, 7],
      labels: [0, 1, 2, 3, 4, 5],
      labelType: 'int64',
    });
  });
});

/** Maps the large array into memory, at the place that its local header gives. */
const SCRIPT = `
import json, struct, sys, zipfile
import numpy
path = sys.argv[1]
archive = zipfile.ZipFile(path)
info = archive.getinfo('arr_0.npy')
with archive.open(info) as member:
    numpy.lib.format.read_magic(member)
    shape, fortran, dtype = numpy.lib.format.read_array_header_1_0(member)
    header = member.tell()
with open(path, 'rb') as file:
    file.seek(info.header_offset + 26)
    start = info.header_offset + 30 + sum(struct.unpack('<HH', file.read(4))) + header
flat = numpy.memmap(path, dtype, 'r', start, (numpy.prod(shape),))
last = 4099 * shape[1] * shape[2]
npz = numpy.load(path)
print(json.dumps(dict(names=npz.files, size=info.file_size, shape=shape, dtype=str(dtype),
    ends=flat[last - 2:last + 2].tolist(), labels=npz['arr_1'].tolist(), labelType=str(npz['arr_1'].dtype))))
`;
