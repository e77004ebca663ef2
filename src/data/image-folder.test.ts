import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { folderOf } from '../../test/support/folder-of.ts';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ConfigError, DatasetError } from '../errors.ts';
import { blankImage, encodePng } from '../media/image.ts';
import { openImageFolder } from './image-folder.ts';
import { openDataset } from './open.ts';

let grey: Uint8Array;
let white: Uint8Array;
const corrupt = new TextEncoder().encode('not an image');

beforeAll(async () => {
  grey = await encodePng(blankImage(9, 6, 3, 51));
  white = await encodePng(blankImage(5, 8, 1, 255));
});

describe('openImageFolder', () => {
  it('takes folders in order as classes, at any depth, and crops', async () => {
    const folder = folderOf({
      'dog/1.png': grey,
      'cat/deep/er/2.PNG': white,
      'cat/notes.txt': corrupt,
      'cat/._2.png': corrupt,
      'readme.txt': corrupt,
    });
    const dataset = await openImageFolder(folder, { imageSize: 4 });
    expect(dataset).toMatchObject({ size: 2, sampleShape: [1, 3, 4, 4], classNames: ['cat', 'dog'] });
    expect(await dataset.read(0)).toEqual({ values: new Float32Array(48).fill(1), label: 0 });
    expect(await dataset.read(1)).toEqual({ values: new Float32Array(48).fill(51 / 127.5 - 1), label: 1 });
    expect([(await dataset.read(0))?.label, (await dataset.read(1))?.label]).toEqual([0, 1]);
  });

  it('makes images grey and renames classes', async () => {
    const folder = folderOf({ 'n01/1.png': grey });
    const dataset = await openImageFolder(folder, { imageSize: 2, channels: 1, classNames: ['dog'] });
    expect(dataset.classNames).toEqual(['dog']);
    expect((await dataset.read(0))?.values).toEqual(new Float32Array(4).fill(51 / 127.5 - 1));
    await expect(openImageFolder(folder, { imageSize: 2, classNames: [] })).rejects.toThrow(DatasetError);
  });

  it('follows links, but not in circles and not into nothing', async () => {
    const folder = folderOf({ 'a/1.png': grey });
    symlinkSync(join(folder, 'a'), join(folder, 'a', 'again'));
    symlinkSync(join(folder, 'a'), join(folder, 'b'));
    symlinkSync(join(folder, 'nothing'), join(folder, 'c'));
    const dataset = await openImageFolder(folder, { imageSize: 2 });
    expect(dataset).toMatchObject({ size: 2, classNames: ['a', 'b'] });
  });

  it('skips a corrupt image with one warning and counts it', async () => {
    const warnings: string[] = [];
    const folder = folderOf({ 'a/1.png': grey, 'a/2.png': grey.subarray(0, 50), 'a/3.png': white });
    const dataset = await openImageFolder(folder, { imageSize: 2, warn: (line) => warnings.push(line) });
    const samples = await Promise.all([0, 1, 2, 1].map((index) => dataset.read(index)));
    expect(samples.map((sample) => sample !== undefined)).toEqual([true, false, true, false]);
    expect(await dataset.read(1)).toBeUndefined();
    expect(dataset.corruptCount).toBe(1);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(join('a', '2.png'));
  });

  it('fails when too many are corrupt', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 50 }, (_, i) => [`a/${i}.png`, i % 8 === 0 ? corrupt : grey]),
    );
    const dataset = await openImageFolder(folderOf(files), { imageSize: 2 });
    const readAll = async () => {
      for (let i = 0; i < 50; i++) await dataset.read(i);
    };
    await expect(readAll()).rejects.toThrow(DatasetError);
    expect(dataset.corruptCount).toBe(3);
  });

  it('lets the share be chosen', async () => {
    const folder = folderOf({ 'a/1.png': grey, 'a/2.png': corrupt });
    const dataset = await openImageFolder(folder, { imageSize: 2, maximumCorruptShare: 0 });
    await expect(dataset.read(1)).rejects.toThrow(/1 of the 1 images read so far are corrupt, at most 0%/);
  });

  it.each([
    ['an empty folder', {}, /is empty/],
    ['a folder without classes', { '1.png': corrupt }, /has no folders/],
    ['a class without images', { 'a/1.png': corrupt, 'b/x.txt': corrupt }, /b: class folder without images/],
  ])('refuses %s', async (_, files, message) => {
    const folder = folderOf(files);
    await expect(openImageFolder(folder, { imageSize: 2 })).rejects.toThrow(DatasetError);
    await expect(openImageFolder(folder, { imageSize: 2 })).rejects.toThrow(message);
  });
});

describe('openDataset', () => {
  it('distinguishes the kinds', async () => {
    const idx = writeIdxDataset(temporaryFolder(), { count: 3, side: 2, classes: 2 });
    expect((await openDataset({ path: idx })).sampleShape).toEqual([1, 1, 2, 2]);
    const images = folderOf({ 'a/1.png': grey });
    expect((await openDataset({ path: images, imageSize: 4 })).sampleShape).toEqual([1, 3, 4, 4]);
  });

  it('takes the subfolder of a split', async () => {
    const path = folderOf({ 'train/a/1.png': grey, 'train/a/2.png': grey, 'val/a/3.png': grey });
    expect((await openDataset({ path, imageSize: 4 })).size).toBe(2);
    expect((await openDataset({ path, imageSize: 4, split: 'test' })).size).toBe(1);
  });

  it('says what is wrong', async () => {
    const path = folderOf({ 'a/1.png': grey });
    await expect(openDataset({ path })).rejects.toThrow(ConfigError);
    await expect(openDataset({ path: join(path, 'none') })).rejects.toThrow(/does not exist/);
    await expect(openDataset({ path, imageSize: 4, split: 'test' })).rejects.toThrow(/no test images/);
    await expect(openDataset({ path: join(path, 'a', '1.png'), imageSize: 4 })).rejects.toThrow(DatasetError);
    await expect(openDataset({ path, kind: 'idx' })).rejects.toThrow(/train-images-idx3-ubyte/);
  });
});
