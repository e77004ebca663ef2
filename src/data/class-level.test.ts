import { symlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folderOf } from '../../test/support/folder-of.ts';
import { DatasetError } from '../errors.ts';
import { IMAGE_EXTENSIONS } from '../media/file-formats.ts';
import { findClassLevel, splitFolders } from './class-level.ts';
import type { Split } from './kinds.ts';

/** A folder with files of these paths; what is in them does not matter here. */
const layout = (...paths: string[]): string => folderOf(Object.fromEntries(paths.map((path) => [path, 'x'])));

async function levelOf(root: string, split: Split = 'train', classNames?: readonly string[]) {
  const options = { split, extensions: IMAGE_EXTENSIONS, unit: 'images', classNames };
  const { folder, notes } = await findClassLevel(root, options);
  return { level: relative(root, folder), notes: notes.map((note) => note.replaceAll(root, 'ROOT')) };
}

describe('findClassLevel', () => {
  it.each<[string, string[], Split, string]>([
    ['class folders', ['a/1.png', 'b/1.png'], 'train', ''],
    ['one class', ['a/1.png'], 'train', ''],
    ['one class, some of it deeper', ['a/1.png', 'a/more/2.png'], 'train', ''],
    ['classes at different depths', ['a/1.png', 'b/deep/er/1.png'], 'train', ''],
    ['a class called train', ['train/1.png', 'boat/1.png'], 'train', ''],
    ['classes called train and test', ['train/1.png', 'test/1.png', 'boat/deep/1.png'], 'train', ''],
    ['a class called test, with deeper files among others', ['tests/x/1.png', 'b/1.png'], 'train', ''],
    ['a class whose name begins like a split', ['train station/x/1.png', 'b/1.png'], 'train', ''],
    ['splits', ['train/a/1.png', 'val/a/1.png'], 'train', 'train'],
    ['splits', ['train/a/1.png', 'val/a/1.png'], 'test', 'val'],
    ['splits in capitals', ['Train/a/1.png', 'Val/a/1.png'], 'train', 'Train'],
    ['splits in capitals', ['TRAIN/a/1.png', 'VAL/a/1.png'], 'test', 'VAL'],
    ['other names of splits', ['training/a/1.png', 'validation/a/1.png'], 'train', 'training'],
    ['other names of splits', ['training/a/1.png', 'validation/a/1.png'], 'test', 'validation'],
    ['sets', ['training_set/a/1.png', 'test_set/a/1.png'], 'train', 'training_set'],
    ['sets', ['training_set/a/1.png', 'test_set/a/1.png'], 'test', 'test_set'],
    ['three splits', ['train/a/1.png', 'test/a/1.png', 'val/a/1.png'], 'test', 'test'],
    ['a training split alone', ['train/a/1.png'], 'train', 'train'],
    ['a test split without classes', ['train/a/1.png', 'test/1.png', 'labels.csv'], 'train', 'train'],
    [
      'a split without classes next to one with',
      ['train/a/1.png', 'test/1.png', 'val/a/1.png'],
      'test',
      'val',
    ],
    ['an empty folder called like a split', ['train/', 'training/a/1.png'], 'train', 'training'],
    [
      'folders without images next to splits',
      ['train/a/1.png', 'annotations/a.xml', 'empty/'],
      'train',
      'train',
    ],
    ['a folder around splits', ['ImageNet/train/a/1.png', 'ImageNet/val/a/1.png'], 'train', 'ImageNet/train'],
    ['folders around splits', ['x/y/z/train/a/1.png', 'x/y/z/val/a/1.png'], 'test', 'x/y/z/val'],
  ])('%s: %j', async (_, paths, split, level) => {
    expect(await levelOf(layout(...paths), split)).toEqual({ level, notes: [] });
  });

  it('goes down into a folder that wraps the classes, and says so', async () => {
    const wrapped = layout('ImageNet/a/1.png', 'ImageNet/b/1.png');
    expect(await levelOf(wrapped)).toEqual({
      level: 'ImageNet',
      notes: [
        'ROOT: the folders in ROOT/ImageNet are used as classes (a, b). For a single class of all images, put them directly into that folder, or give data.classNames one name',
      ],
    });
    expect(await levelOf(wrapped, 'train', ['all'])).toEqual({ level: '', notes: [] });
    const twice = layout('training_set/training_set/cats/1.png', 'test_set/test_set/cats/1.png');
    const { level, notes } = await levelOf(twice);
    expect(level).toBe('training_set/training_set');
    expect(notes).toHaveLength(1);
  });

  it('names what it does not take', async () => {
    const extra = layout('train/a/1.png', 'val/a/1.png', 'unlabelled/1.png', 'more/x/2.png');
    expect(await levelOf(extra)).toEqual({
      level: 'train',
      notes: ['ROOT: train is used as the train split; ignored next to it: more, unlabelled'],
    });
    const twins = layout('train/a/1.png', 'training/a/1.png', 'val/a/1.png');
    expect((await levelOf(twins)).notes).toEqual([
      'ROOT: train is used as the train split; ignored next to it: training',
    ]);
  });

  it('warns of a test split with other classes, whose labels are others', async () => {
    const { level, notes } = await levelOf(layout('train/a/1.png', 'train/b/1.png', 'val/b/1.png'), 'test');
    expect(level).toBe('val');
    expect(notes).toEqual(['ROOT: val has the folders b, and train a, b; their labels do not match']);
  });

  it('refuses what could be a split as well as a class, and says how to go ahead', async () => {
    const train = layout('train/steam/1.png', 'train/ice/1.png', 'boat/1.png');
    await expect(levelOf(train)).rejects.toThrow(DatasetError);
    await expect(levelOf(train)).rejects.toThrow(
      `train could be a split, since it holds the folders ice, steam, or a class next to boat. For the split, give ${join(train, 'train')}`,
    );
    await expect(levelOf(layout('a/1.png', 'b/1.png', 'val/a/1.png'))).rejects.toThrow(
      'val could be a split',
    );
  });

  it('refuses a split that is missing', async () => {
    const onlyTest = layout('test/a/1.png');
    await expect(levelOf(onlyTest)).rejects.toThrow(
      'has no train images; expected a subfolder train or training',
    );
    await expect(levelOf(layout('a/1.png', 'b/1.png'), 'test')).rejects.toThrow('has no test images');
    await expect(levelOf(layout('test/1.png', 'b/1.png'), 'test')).rejects.toThrow('has no test images');
  });

  it('comes to an end where links lead in circles', async () => {
    const root = layout('x/notes.txt');
    symlinkSync(root, join(root, 'x', 'again'));
    expect((await levelOf(root)).level).toBe('');
    const wrapped = layout('train/x/1.png');
    symlinkSync(wrapped, join(wrapped, 'train', 'again'));
    expect((await levelOf(wrapped)).level).toBe('train');
  });
});

describe('splitFolders', () => {
  it('are folders called like splits, where there are both kinds', async () => {
    expect(await splitFolders(layout('Train/a/1.png', 'val/1.png', 'x/1.png'))).toEqual(['Train', 'val']);
    expect(await splitFolders(layout('train/1.png', 'boat/1.png'))).toEqual([]);
  });
});
