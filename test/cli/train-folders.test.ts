/** Data sets as people have them: what `acdit train` takes for their classes, and what it says of the rest. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodePng } from '../../src/media/image.ts';
import { type CliResult, lastLine, runInProcess } from '../support/cli.ts';
import { folderOf } from '../support/folder-of.ts';
import { noiseImage } from '../support/noise-image.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let png: Uint8Array;
let point: Uint8Array;
let line: Uint8Array;

beforeAll(async () => {
  png = await encodePng(noiseImage(20, 16, 3));
  point = await encodePng(noiseImage(1, 1, 3));
  line = await encodePng(noiseImage(400, 1, 3));
});

/** Two classes of two images, and what is among them. */
const withClasses = (more: Record<string, Uint8Array | string>, classes = ['a', 'b']) =>
  folderOf({
    ...Object.fromEntries(classes.flatMap((name) => [0, 1].map((i) => [`${name}/${i}.png`, png]))),
    ...more,
  });

interface Trained extends CliResult {
  /** Names of the classes of the model that was made. */
  readonly classes: readonly string[];
  /** Lines with warnings, without the folder of the data. */
  readonly warnings: readonly string[];
}

async function train(data: string, ...more: string[]): Promise<Trained> {
  const out = join(temporaryFolder(), 'run');
  const model = { layers: 1, hidden: 32, heads: 1, patch: 4, blocks: 4 };
  const recipe = join(temporaryFolder(), 'recipe.json');
  const training = { steps: 2, batch: 4 };
  writeFileSync(
    recipe,
    JSON.stringify({ model, data: { path: data, imageSize: 16 }, training, output: { folder: out } }),
  );
  const result = await runInProcess(['train', recipe, '--threads', '1', ...more]);
  const warnings = result.stderr.split(/[\r\n]+/).filter((text) => text.startsWith('warning: '));
  const classes: string[] =
    result.code === 0 ? JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')).classNames : [];
  return { ...result, classes, warnings: warnings.map((text) => text.replaceAll(data, 'DATA')) };
}

describe('acdit train on folders', () => {
  it.each<[string, () => string, string[], number]>([
    ['of classes', () => withClasses({}), ['a', 'b'], 4],
    // As `sorted()` and torchvision's ImageFolder number them.
    ['called by numbers', () => withClasses({}, ['2', '10', '1']), ['1', '10', '2'], 6],
    ['that differ in letter case', () => withClasses({}, ['a', 'A', 'B']), ['A', 'B', 'a'], 6],
    ['with commas in their names', () => withClasses({}, ['a,b', 'none']), ['a,b', 'none'], 4],
    ['called in any script', () => withClasses({}, ['ü é', '日本']), ['ü é', '日本'], 4],
    ['that are called like images', () => withClasses({ 'a/folder.jpg/x.png': png }), ['a', 'b'], 5],
    [
      'with thumbnails of a Synology',
      () => withClasses({ 'a/@eaDir/0.png/T.jpg': png, '@eaDir/a/x': '' }),
      ['a', 'b'],
      4,
    ],
    ['from an archive made by macOS', () => withClasses({ '__MACOSX/a/._0.png': '\0\x05' }), ['a', 'b'], 4],
    [
      'with hidden files and folders',
      () => withClasses({ '.ipynb_checkpoints/x.png': png, '.DS_Store': '' }),
      ['a', 'b'],
      4,
    ],
    ['with a class called train', () => withClasses({}, ['train', 'boat']), ['boat', 'train'], 4],
    [
      'with very small and very long images',
      () => folderOf({ 'a/1.png': point, 'a/2.png': line, 'a/3.png': png }),
      ['a'],
      3,
    ],
    ['in splits', () => withClasses({ 'val/a/0.png': png }, ['train/a', 'train/b']), ['a', 'b'], 4],
    [
      'in splits in capitals',
      () => withClasses({ 'Val/a/0.png': png }, ['Train/a', 'Train/b']),
      ['a', 'b'],
      4,
    ],
    [
      'in a folder around splits',
      () => withClasses({ 'x/val/a/0.png': png }, ['x/train/a', 'x/train/b']),
      ['a', 'b'],
      4,
    ],
  ])('%s', async (_, make, classes, images) => {
    const trained = await train(make());
    expect(trained).toMatchObject({ code: 0, classes, warnings: [] });
    expect(trained.stderr).toContain(`${images} images of ${classes.length} class`);
  });

  it('around the classes, which it says', async () => {
    const trained = await train(withClasses({}, ['ImageNet/a', 'ImageNet/b']));
    expect(trained).toMatchObject({ code: 0, classes: ['a', 'b'] });
    expect(trained.warnings).toEqual([expect.stringContaining('DATA/ImageNet are used as classes (a, b)')]);
    const single = await train(withClasses({}, ['all/a', 'all/b']), '--data.classNames', '["all"]');
    expect(single).toMatchObject({ code: 0, classes: ['all'], warnings: [] });
  });

  it('with other images beside the splits, which it names', async () => {
    const trained = await train(
      withClasses({ 'val/a/0.png': png, 'extra/0.png': png }, ['train/a', 'train/b']),
    );
    expect(trained).toMatchObject({ code: 0, classes: ['a', 'b'] });
    expect(trained.warnings).toEqual([
      'warning: DATA: train is used as the train split; ignored next to it: extra',
    ]);
  });

  it('with images beside the class folders, which it names', async () => {
    const trained = await train(withClasses({ 'cover.png': png, 'list.csv': 'a' }));
    expect(trained).toMatchObject({ code: 0, classes: ['a', 'b'] });
    expect(trained.warnings).toEqual([expect.stringContaining('cover.png, list.csv')]);
  });

  it.each<[string, () => string, string]>([
    [
      'without an image',
      () => withClasses({ 'c/': '' }),
      'c: class folder without images; add some or remove the folder',
    ],
    ['that are empty', () => folderOf({}), 'is empty; expected one folder of images per class'],
    [
      'of images alone',
      () => folderOf({ '0.png': png, '1.png': png }),
      'For a single class, move the images into',
    ],
    [
      'of images alone in splits',
      () => folderOf({ 'train/0.png': png, 'val/1.png': png }),
      'train: has no folders',
    ],
    ['that may be a split', () => withClasses({}, ['train/x', 'train/y', 'boat']), 'train could be a split'],
  ])('%s is refused in one line', async (_, make, message) => {
    const { code, stderr } = await train(make());
    expect(code).toBe(2);
    expect(lastLine(stderr)).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  /** A class of 20 images, five of which are empty files: every fourth. */
  const spoiled = () =>
    folderOf(
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`a/${i}.png`, i % 4 === 0 ? '' : png])),
    );

  it('with files that are corrupt, which it names, until they are too many', async () => {
    const data = spoiled();
    // Two steps read about 8 of the files.
    const short = await train(data);
    expect(short.code, short.stderr).toBe(0);
    expect(short.warnings.length).toBeLessThanOrEqual(2);
    for (const warning of short.warnings) {
      expect(warning).toMatch(
        /^warning: skipped DATA\/a\/\d+\.png: not a readable image \(the file is empty\)$/,
      );
    }
    // 5% of 40 files are 2, so the third one ends a run that goes through the set.
    const long = await train(data, '--steps', '5');
    expect(long.code).toBe(2);
    expect(long.warnings.length).toBeGreaterThanOrEqual(3);
    expect(lastLine(long.stderr)).toMatch(
      /3 of the \d+ images read so far are corrupt, at most 5% may be \(last: .*a\/\d+\.png\); repair or remove them/,
    );
  });

  it('of images of several sizes, each cropped to the one that is asked for', async () => {
    const wide = await sharp(png).resize(64, 18).png().toBuffer();
    expect(await train(withClasses({ 'a/wide.png': wide }))).toMatchObject({ code: 0, warnings: [] });
  });
});

describe('acdit evaluate on folders', () => {
  const evaluate = async (data: string) => {
    const args = ['--network', 'fashion-mnist', '--json', '--kid-subsets', '0', '--threads', '1'];
    const { code, stderr } = await runInProcess(['evaluate', data, data, ...args]);
    expect(code, stderr).toBe(0);
    return new Set(stderr.trimEnd().replaceAll(data, 'DATA').split('\n'));
  };
  const few = (count: number) =>
    `warning: DATA: ${count} samples are few for a Fréchet distance in 96 dimensions, which is then too large; papers take 50000`;
  const others =
    'warning: precision, recall, density and coverage need more than 5 samples of each set, got 5; they are left out';

  it('reads folders that are called like images, but no thumbnails', async () => {
    const data = withClasses({ 'a/folder.jpg/x.png': png, 'a/@eaDir/0.png/T.jpg': point });
    expect(await evaluate(data)).toEqual(new Set([few(5), others]));
  });

  it('warns that splits are read together', async () => {
    const data = withClasses({ 'val/a/0.png': png }, ['train/a', 'train/b']);
    const note =
      'warning: DATA: contains the splits train, val, which are all read; to compare only one, give its path';
    expect(await evaluate(data)).toEqual(new Set([note, few(5), others]));
  });
});
