import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { folderOf } from '../../test/support/folder-of.ts';
import { IMAGE_EXTENSIONS, VIDEO_EXTENSIONS } from '../media/file-formats.ts';
import { describeIgnoredFiles, filesBelow, ignoredFiles } from './folder-files.ts';
import { openImageFolder } from './image-folder.ts';

const fixture = (name: string): Uint8Array =>
  readFileSync(fileURLToPath(new URL(`../../test/fixtures/images/${name}`, import.meta.url)));
const text = new TextEncoder().encode('no image');
const heic = Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic');

describe('filesBelow', () => {
  it('finds every image that is read, by content where the extension is missing or unusual', async () => {
    const images = {
      'a.bmp': fixture('rgb.bmp'),
      'b.PPM': fixture('rgb.ppm'),
      'c.pgm': fixture('grey.pgm'),
      'd.jfif': fixture('rgb.jpg'),
      e: fixture('rgb.jpg'),
      'f.17': fixture('rgb.png'),
      'g.jpg_large': fixture('rgb.jpg'),
    };
    const others = {
      'h.heic': heic,
      i: heic,
      'j.txt': text,
      k: text,
      'l.dng': fixture('rgb.tif'),
      'm.mp4': text,
    };
    const folder = folderOf({ ...images, ...others });
    const found = await filesBelow(folder, IMAGE_EXTENSIONS);
    expect(found.files).toEqual(Object.keys(images).map((name) => join(folder, name)));
    expect(found.others).toEqual(
      Object.keys(others).map((name) => ({ path: join(folder, name), kind: 'file' })),
    );
  });

  it('reads a .dib that begins as a BMP file, and counts one without a file header', async () => {
    const bmp = fixture('rgb.bmp');
    const folder = folderOf({ 'a.dib': bmp, 'b.dib': bmp.subarray(14) });
    const { files, others } = await filesBelow(folder, IMAGE_EXTENSIONS);
    expect([files, others.map(({ path }) => path)]).toEqual([
      [join(folder, 'a.dib')],
      [join(folder, 'b.dib')],
    ]);
  });

  it('takes no folder for an image, and leaves out what systems make', async () => {
    const folder = folderOf({
      'folder.jpg/x.png': fixture('rgb.png'),
      '@eaDir/x.png/SYNOPHOTO_THUMB_M.jpg': fixture('rgb.jpg'),
      '__MACOSX/._x.png': text,
      '.DS_Store': text,
      'Thumbs.db': text,
    });
    symlinkSync(join(folder, 'nothing'), join(folder, 'broken.png'));
    symlinkSync(join(folder, 'folder.jpg'), join(folder, 'again.png'));
    const first = join(folder, 'again.png', 'x.png');
    const broken = { path: join(folder, 'broken.png'), kind: 'broken link' };
    expect(await filesBelow(folder, IMAGE_EXTENSIONS)).toEqual({ files: [first], others: [broken] });
  });

  it('finds videos without an extension', async () => {
    const mp4 = Buffer.from('\0\0\0\x18ftypisom\0\0\x02\0isomiso2');
    const folder = folderOf({ clip: mp4, 'b.png': fixture('rgb.png'), 'c.gif': fixture('rgb.gif') });
    const found = await filesBelow(folder, VIDEO_EXTENSIONS);
    expect(found.files).toEqual([join(folder, 'c.gif'), join(folder, 'clip')]);
    expect(found.others).toEqual([{ path: join(folder, 'b.png'), kind: 'file' }]);
  });
});

it('orders names as Python does, by code points', async () => {
  // sorted(os.listdir(...)) of Python 3.12; UTF-16 units put the cat before the others
  const sorted = ['\u00e9', '\ufb01', '\uff21', '\u{1f431}'];
  const folder = folderOf(Object.fromEntries(sorted.map((name) => [`${name}/x.png`, fixture('rgb.png')])));
  expect((await openImageFolder(folder, { imageSize: 8 })).classNames).toEqual(sorted);
});

describe('ignoredFiles', () => {
  it('counts links that lead nowhere, and what is not a file', async () => {
    const folder = folderOf({ 'a/1.png': fixture('rgb.png') });
    symlinkSync(join(folder, 'gone'), join(folder, 'a', '2.png'));
    symlinkSync('loop.png', join(folder, 'a', 'loop.png'));
    symlinkSync(join(folder, 'gone'), join(folder, 'b'));
    const pipes = process.platform === 'win32' ? 0 : 1;
    if (pipes > 0) execFileSync('sh', ['-c', 'mkfifo "$0"', join(folder, 'a', 'pipe')]);
    const dataset = await openImageFolder(folder, { imageSize: 8 });
    expect(dataset).toMatchObject({ size: 1, classNames: ['a'] });
    expect(dataset.ignoredFiles).toEqual({
      count: 3 + pipes,
      extensions: {},
      special: { 'broken link': 3, ...(pipes > 0 && { 'named pipe': pipes }) },
      examples: ['b', join('a', '2.png'), join('a', 'loop.png')].map((name) => join(folder, name)),
    });
    if (pipes > 0) {
      expect(describeIgnoredFiles('x', 'images', dataset.ignoredFiles!)).toBe(
        'x: ignored 4 files not read as images: 3 broken links, 1 named pipe (b, 2.png, loop.png, ...)',
      );
    }
    rmSync(join(folder, 'a'), { recursive: true });
    await expect(openImageFolder(folder, { imageSize: 8 })).rejects.toThrow(
      'has no folders but broken links (b)',
    );
  });

  it('counts by extension and names the first', () => {
    const files = ['x/a.heic', 'x/b.HEIC', 'x/c.txt', 'x/d', 'x/e.heic'];
    const summary = ignoredFiles(files.map((path) => ({ path, kind: 'file' as const })))!;
    expect(summary).toEqual({
      count: 5,
      extensions: { '.heic': 3, '.txt': 1, '': 1 },
      examples: ['x/a.heic', 'x/b.HEIC', 'x/c.txt'],
    });
    expect(describeIgnoredFiles('x', 'images', summary)).toBe(
      'x: ignored 5 files not read as images: 3 .heic, 1 .txt, 1 without an extension (a.heic, b.HEIC, c.txt, ...)',
    );
    expect(ignoredFiles([])).toBeUndefined();
  });

  it('is part of a dataset, with files that are in no class', async () => {
    const folder = folderOf({
      'a/1.bmp': fixture('rgb.bmp'),
      'a/2.heic': heic,
      'b/1': fixture('rgb.png'),
      'stray.png': fixture('rgb.png'),
    });
    const dataset = await openImageFolder(folder, { imageSize: 8 });
    expect(dataset).toMatchObject({ size: 2, classNames: ['a', 'b'] });
    expect(dataset.ignoredFiles).toMatchObject({ count: 2, extensions: { '.png': 1, '.heic': 1 } });
    expect((await dataset.read(0))?.values).toHaveLength(3 * 64);
    expect((await dataset.read(1))?.values).toHaveLength(3 * 64);
  });
});
