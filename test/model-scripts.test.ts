/** The scripts that train classifiers and measure bundled models. */

import { execFile } from 'node:child_process';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { nearestTo } from '../scripts/nearest/nearest.ts';
import { evenSamples } from '../scripts/samplers/even-samples.ts';
import { realImages } from '../scripts/samplers/images-npz.ts';
import { rowsOf } from '../scripts/samplers/rows.ts';
import { loadClassifier } from '../src/checkpoints/classifier.ts';
import { openImages } from '../src/data/open.ts';
import { openNpz } from '../src/formats/npz.ts';
import { openFile } from '../src/io/file-source.ts';
import { readImage } from '../src/media/image.ts';
import { writePictureFolder } from './support/picture-folder.ts';
import { temporaryFolder } from './support/temporary-folder.ts';
import { tinyPixels } from './support/tiny-model.ts';

const colourImages = { imageSize: 8, channels: 3 } as const;

it('the nearest images of a dataset are found, and how far they are', async () => {
  const dataset = await openImages({
    path: await writePictureFolder(temporaryFolder(), 4, 8),
    ...colourImages,
  });
  const fifth = (await dataset.read(5))!.values;
  const moved = fifth.map((value) => value + 0.01);
  const [exact, near] = await nearestTo([fifth, moved], dataset);
  expect(exact).toEqual({ values: fifth, distance: 0 });
  expect(near!.values).toEqual(fifth);
  expect(near!.distance).toBeCloseTo(0.01, 5);
});

it('a part of a sorted dataset has all of its classes', async () => {
  const dataset = await openImages({
    path: await writePictureFolder(temporaryFolder(), 4, 8),
    ...colourImages,
  });
  const labels = async (count: number) => (await evenSamples(dataset, count)).map(({ label }) => label);
  expect(await labels(3)).toEqual([0, 1, 2]);
  expect(await labels(6)).toEqual([0, 0, 1, 1, 2, 2]);
  expect(await labels(100)).toHaveLength(12);
});

it('real images are written as samples are, with their labels', async () => {
  const folder = await writePictureFolder(temporaryFolder(), 2, 8);
  const path = join(temporaryFolder(), 'real.npz');
  await realImages(folder, { ...tinyPixels, channels: 3 }, 3, path);
  const npz = await openNpz(await openFile(path));
  const { shape, data } = await npz.read('arr_0');
  expect(shape).toEqual([3, 8, 8, 3]);
  // The classes in alphabetical order: blue, green, red.
  expect(Array.from((await npz.read('arr_1')).data, Number)).toEqual([0, 1, 2]);
  const red = await readImage(join(folder, 'red/000.png'));
  expect(Array.from(data.subarray(2 * 192), Number)).toEqual([...red.data]);
  await npz.close();
});

it('a model without a tuned solver is measured with the steps of every model', () => {
  const names = rowsOf(tinyPixels, undefined).map(({ name }) => name);
  expect(names).toEqual(['default-25', 'default-12', 'default-7', 'default-5', 'logsnr-10']);
});

it('a classifier of colour images is trained, measured and written', { tags: ['slow'] }, async () => {
  const folder = temporaryFolder();
  for (const split of ['train', 'test']) await writePictureFolder(join(folder, split), 64, 8);
  await rename(join(folder, 'test/red'), join(folder, 'test/odd'));
  await rename(join(folder, 'test/green'), join(folder, 'test/red'));
  await rename(join(folder, 'test/odd'), join(folder, 'test/green'));
  const script = join(import.meta.dirname, '../scripts/train-classifier.ts');
  const flags = ['--name', 'colours', '--size', '8', '--color', '--widths', '4,6', '--crop-padding', '0'];
  const args = ['--import', 'tsx', script, folder, join(folder, 'out'), '40', '1', '--ema', '0.9', ...flags];
  await promisify(execFile)(process.execPath, args);
  const { config } = await loadClassifier(join(folder, 'out'));
  const classNames = ['blue', 'green', 'red'];
  // Red and green are exchanged in the test images.
  const expected = { name: 'colours', classNames, channels: 3, imageSize: 8, widths: [4, 6] };
  expect(config).toEqual({ modelType: 'classifier', ...expected, testAccuracy: 1 / 3 });
  expect(await readFile(join(folder, 'out/config.json'), 'utf8')).toMatch(/\n$/);
});
