/** Files that are read in pieces: while they change, and when they are closed or forgotten. */

import { spawnSync } from 'node:child_process';
import { renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { FormatError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { openFile } from './file-source.ts';

const CHANGED = 'the file has changed since it was opened; start again to use it';

/** A file with these bytes, which was last written to an hour ago. */
function oldFile(bytes = [1, 2, 3, 4]): string {
  const path = join(temporaryFolder(), 'weights');
  writeFileSync(path, Buffer.from(bytes));
  const hourAgo = Date.now() / 1000 - 3600;
  utimesSync(path, hourAgo, hourAgo);
  return path;
}

async function opened(path: string): Promise<ByteSource> {
  const source = await openFile(path);
  onTestFinished(() => source.close());
  return source;
}

describe('a file', () => {
  it.each<[string, (path: string) => void]>([
    ['is overwritten in place', (path) => writeFileSync(path, Buffer.from([5, 6, 7, 8]), { flag: 'r+' })],
    ['gets shorter', (path) => truncateSync(path, 2)],
    ['gets longer', (path) => writeFileSync(path, Buffer.from([9]), { flag: 'a' })],
  ])('is not read further once it %s', async (_, change) => {
    const path = oldFile();
    const source = await opened(path);
    expect([...(await source.read(1, 2))]).toEqual([2, 3]);
    change(path);
    await expect(source.read(0, 1)).rejects.toThrow(new FormatError(`${path}: ${CHANGED}`));
    await expect(source.read(3, 1)).rejects.toThrow(CHANGED);
    const again = await opened(path);
    expect(again.file!.identity).not.toBe(source.file!.identity);
    expect(await source.file!.isUnchanged()).toBe(false);
    expect(await again.file!.isUnchanged()).toBe(true);
  });

  it('is read as it was after another was given its name', async () => {
    const path = oldFile();
    const source = await opened(path);
    writeFileSync(`${path}.new`, Buffer.from([5, 6, 7, 8]));
    renameSync(`${path}.new`, path);
    expect([...(await source.read(0, 4))]).toEqual([1, 2, 3, 4]);
    expect(await source.file!.isUnchanged()).toBe(false);
    rmSync(path);
    expect([...(await source.read(0, 4))]).toEqual([1, 2, 3, 4]);
    expect(await source.file!.isUnchanged()).toBe(false);
  });

  it('is found through a link', async () => {
    const path = oldFile();
    const link = join(temporaryFolder(), 'link');
    symlinkSync(path, link);
    const { file } = await opened(link);
    expect(join(file!.folder, file!.name)).toBe(path);
    expect(await file!.isUnchanged()).toBe(true);
  });

  it('is closed after what is being read, and read no more', async () => {
    const source = await openFile(oldFile());
    const reading = Promise.all([source.read(0, 4), source.read(1, 1)]);
    await Promise.all([source.close(), source.close()]);
    expect((await reading).map((bytes) => [...bytes])).toEqual([[1, 2, 3, 4], [2]]);
    await expect(source.read(0, 1)).rejects.toThrow('cannot be read: the file is closed');
  });
});

/** Runs a program that has `openFile` and `path`. */
function runProgram(program: string, path: string) {
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const head = `
    const { openFile } = await import(${JSON.stringify(new URL('./file-source.ts', import.meta.url).href)});
    const path = ${JSON.stringify(path)};
    const { readdirSync, readlinkSync } = await import('node:fs');
    const isOurs = (fd) => {
      try { return readlinkSync('/proc/self/fd/' + fd) === path; } catch { return false; }
    };
    const descriptors = () => readdirSync('/proc/self/fd').filter(isOurs).length;
    const collectGarbage = async () => {
      for (let i = 0; i < 5; i++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };`;
  const args = ['--expose-gc', '--import', loader, '--input-type=module', '--eval', head + program];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { status, stdout: stdout.trim(), stderr };
}

describe.runIf(process.platform === 'linux')('a file that nobody closes', () => {
  it('is closed in silence when it is garbage, but not while it is read', () => {
    const program = `
      const readAll = async () => (await openFile(path)).read(0, 4);
      const readings = Array.from({ length: 50 }, readAll);
      await collectGarbage();
      const read = await Promise.all(readings);
      const whole = read.filter((bytes) => bytes.join() === '1,2,3,4').length;
      await collectGarbage();
      console.log(whole, descriptors());`;
    expect(runProgram(program, oldFile())).toEqual({ status: 0, stdout: '50 0', stderr: '' });
  });

  it('lets the program end in silence', () => {
    const program =
      'globalThis.kept = await openFile(path); await kept.read(0, 4); console.log(descriptors());';
    expect(runProgram(program, oldFile())).toEqual({ status: 0, stdout: '1', stderr: '' });
  });
});
