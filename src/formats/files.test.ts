import { mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AcditError, FormatError } from '../errors.ts';
import { companionFile, makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { type ByteSource, blobSource, bytesSource } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acdit-'));
});
afterEach(() => rm(folder, { recursive: true }));

const content = Uint8Array.from({ length: 100 }, (_, i) => i);

const makers: [string, () => Promise<ByteSource>][] = [
  ['bytes', async () => bytesSource(content, 'it')],
  ['a Blob', async () => blobSource(new Blob([content]), 'it')],
  [
    'a file',
    async () => {
      await writeFile(join(folder, 'it'), content);
      return openFile(join(folder, 'it'));
    },
  ],
];

describe.each(makers)('a source over %s', (_, make) => {
  it('reads ranges into buffers of their own', async () => {
    const source = await make();
    expect(source.size).toBe(100);
    const bytes = await source.read(10, 5);
    expect([...bytes]).toEqual([10, 11, 12, 13, 14]);
    expect(bytes.byteOffset).toBe(0);
    bytes.fill(0);
    expect([...(await source.read(10, 1))]).toEqual([10]);
    expect((await source.read(100, 0)).length).toBe(0);
    await source.close();
  });

  it.each([
    [-1, 5],
    [0, -1],
    [0.5, 1],
    [99, 2],
    [0, 2 ** 60],
    [Number.NaN, 1],
  ])('refuses to read at %s, %s bytes', async (offset, length) => {
    const source = await make();
    await expect(source.read(offset, length)).rejects.toThrow(FormatError);
    await source.close();
  });
});

describe('long names', () => {
  it('are written up to the longest that the file system takes', async () => {
    for (const name of [
      'a'.repeat(237),
      'a'.repeat(238),
      'b'.repeat(255),
      `${'ж'.repeat(127)}x`,
      '猫'.repeat(85),
    ]) {
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
      await writeFileAtomically(join(folder, name), (write) => write(content));
      expect(await readdir(folder)).toEqual([name]);
      await rm(join(folder, name));
    }
    await expect(
      writeFileAtomically(join(folder, 'c'.repeat(256)), (write) => write(content)),
    ).rejects.toThrow(/: its name is too long; give a shorter one$/);
    expect(await readdir(folder)).toEqual([]);
  });

  it('have companions of their own', () => {
    expect(companionFile('x/a.npz', '.partial')).toBe('x/a.npz.partial');
    const long = ['a', 'b'].map((end) => companionFile(`x/${'猫'.repeat(84)}${end}`, '.partial'));
    expect(new Set(long).size).toBe(2);
    for (const path of long) {
      expect(path).toMatch(/^x\/猫+\.[0-9a-f]{16}\.partial$/);
      expect(Buffer.byteLength(path) - 2).toBeLessThanOrEqual(255);
    }
  });
});

describe('openFile', () => {
  it('says what is wrong with a path', async () => {
    await expect(openFile(join(folder, 'none'))).rejects.toThrow(/none: there is no such file$/);
    await expect(openFile(folder)).rejects.toThrow(/is a directory/);
    await expect(openFile(join(folder, 'none'))).rejects.toBeInstanceOf(FormatError);
  });

  it('notices a file cut while it is open', async () => {
    const path = join(folder, 'x');
    await writeFile(path, content);
    const source = await openFile(path);
    await writeFile(path, content.subarray(0, 20));
    await expect(source.read(0, 50)).rejects.toThrow(/the file has changed since it was opened/);
    await source.close();
    await source.close();
  });
});

describe('makeFolders', () => {
  it('makes what is missing, and takes what is there', async () => {
    const path = join(folder, 'a', 'b', 'c');
    await makeFolders(path);
    await makeFolders(path);
    await makeFolders(`${path}/`);
    expect(await readdir(join(folder, 'a', 'b'))).toEqual(['c']);
  });

  it('explains a file on the way, and at the end', async () => {
    await writeFile(join(folder, 'x'), '');
    await expect(makeFolders(join(folder, 'x', 'a', 'b'))).rejects.toThrow(
      /cannot write .*its folder is a file/,
    );
    await expect(makeFolders(join(folder, 'x'))).rejects.toThrow(
      /cannot write .*a file of that name is there/,
    );
  });

  it.runIf(process.platform === 'linux')('ends where no folder can be made', async () => {
    await expect(makeFolders('/proc/x/y')).rejects.toThrow(
      'cannot write /proc/x/y: no folder can be made in /proc',
    );
    await expect(makeFolders('/proc/x')).rejects.toBeInstanceOf(AcditError);
  });
});

describe('writeFileAtomically', () => {
  it("writes with the file handles of Yarn's Plug'n'Play, which have no sync()", async () => {
    const handle = await open(folder);
    await handle.close();
    const sync = vi.spyOn(Object.getPrototypeOf(handle), 'sync');
    sync.mockRejectedValue(new Error('Method not implemented.'));
    try {
      await writeFileAtomically(join(folder, 'it'), (write) => write(content));
    } finally {
      sync.mockRestore();
    }
    expect([...(await readFile(join(folder, 'it')))]).toEqual([...content]);
  });

  it('replaces the file when all is written, and leaves nothing else', async () => {
    const path = join(folder, 'x');
    await writeFile(path, 'old');
    await writeFileAtomically(path, async (write) => {
      await write(new TextEncoder().encode('ne'));
      expect(await readFile(path, 'utf8')).toBe('old');
      await write(new TextEncoder().encode('w'));
    });
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await readdir(folder)).toEqual(['x']);
  });

  it('keeps the old file and removes the temporary one on failure', async () => {
    const path = join(folder, 'x');
    await writeFile(path, 'old');
    const failing = writeFileAtomically(path, async (write) => {
      await write(content);
      throw new Error('stop');
    });
    await expect(failing).rejects.toThrow('stop');
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['x']);
  });

  it('writes through a link', async () => {
    await writeFile(join(folder, 'x'), 'old');
    await symlink('x', join(folder, 'link'));
    await writeFileAtomically(join(folder, 'link'), (write) => write(new TextEncoder().encode('new')));
    expect(await readFile(join(folder, 'x'), 'utf8')).toBe('new');
    expect((await readdir(folder)).sort()).toEqual(['link', 'x']);
  });

  it('explains a folder that is missing and a target that is a folder', async () => {
    const write = (path: string) => writeFileAtomically(path, (writeBytes) => writeBytes(content));
    await expect(write(join(folder, 'none', 'x'))).rejects.toThrow(/its folder does not exist/);
    await expect(write(join(folder, 'none', 'x'))).rejects.toBeInstanceOf(AcditError);
    await expect(write(folder)).rejects.toThrow(/^cannot write/);
  });

  it('explains a full disk, and keeps the old file', async () => {
    const path = join(folder, 'x');
    await writeFile(path, 'old');
    const probe = await open(path);
    const write = vi.spyOn(Object.getPrototypeOf(probe), 'write');
    await probe.close();
    write.mockRejectedValueOnce(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    try {
      const failing = writeFileAtomically(path, (writeBytes) => writeBytes(content));
      await expect(failing).rejects.toThrow(`cannot write ${path}: the disk is full; free some space`);
    } finally {
      write.mockRestore();
    }
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['x']);
  });
});
