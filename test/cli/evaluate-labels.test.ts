/** @file Labels of images in an npz file: only the label accuracy needs them, so wrong ones cost only that. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { encodeNpy } from '../../src/formats/npy.ts';
import { encodeZip } from '../../src/formats/zip.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { runInProcess } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const COUNT = 8;

/** Images of noise, for the bundled classifier of 10 classes. */
function images(seed: number): Tensor<'uint8'> {
  return tensor(
    'uint8',
    [COUNT, 28, 28],
    Uint8Array.from(Generator.seeded(seed).randint(0, 256, COUNT * 784)),
  );
}

async function arrayFile(arr_0: Tensor, arr_1: Tensor | undefined): Promise<string> {
  const path = join(temporaryFolder(), 'set.npz');
  const members: [string, Uint8Array][] = [['arr_0.npy', encodeNpy(arr_0)]];
  if (arr_1) members.push(['arr_1.npy', encodeNpy(arr_1)]);
  await writeFile(path, await encodeZip(members, false));
  return path;
}

async function evaluate(samples: Tensor | undefined, reference?: Tensor) {
  const paths = [await arrayFile(images(1), reference), await arrayFile(images(2), samples)];
  const flags = ['--network', 'fashion-mnist', '--kid-subsets', '0', '--threads', '1', '--json'];
  const { code, stdout, stderr } = await runInProcess(['evaluate', ...paths, ...flags]);
  expect(code, stderr).toBe(0);
  const { labelAccuracy, labelAccuracyByClass, ...others } = JSON.parse(stdout);
  const warnings = stderr
    .trimEnd()
    .split('\n')
    .filter((line) => line.includes('label'));
  return {
    labelAccuracy,
    labelAccuracyByClass,
    others,
    warnings: warnings.join('\n').replace(paths[1], 'SAMPLES'),
  };
}

const labels = (...values: number[]): Tensor =>
  tensor('int64', [values.length], BigInt64Array.from(values.map(BigInt)));
const right = labels(0, 1, 2, 3, 4, 5, 6, 7);
const each = "SAMPLES: 'arr_1' must be a label for each of 8 images, whole numbers from 0, got";

it.each<[string, Tensor, string]>([
  [
    'as large as the number of classes',
    labels(0, 1, 2, 3, 4, 5, 6, 10),
    'SAMPLES: label 10 is not one of 10 classes',
  ],
  ['below 0', labels(0, 1, 2, 3, 4, 5, 6, -1), `${each} -1 for image 7`],
  ['fewer than images', labels(0, 1, 2), `${each} shape [3]`],
  ['one-hot', tensor('uint8', [COUNT, 10], new Uint8Array(10 * COUNT)), `${each} shape [8,10]`],
  ['fractions', tensor('float32', [COUNT], new Float32Array(COUNT).fill(0.5)), `${each} 0.5 for image 0`],
  ['NaN', tensor('float32', [COUNT], new Float32Array(COUNT).fill(Number.NaN)), `${each} NaN for image 0`],
])('labels that are %s leave out the label accuracy alone, with a warning', async (_, wrong, problem) => {
  const { others: expected, ...whole } = await evaluate(right);
  expect(whole).toMatchObject({ labelAccuracy: expect.any(Number), warnings: '' });
  expect(Object.keys(whole.labelAccuracyByClass)).toHaveLength(COUNT);
  expect(expected).toMatchObject({ frechetDistance: expect.any(Number), precision: expect.any(Number) });

  const { others, ...left } = await evaluate(wrong);
  const warnings = `warning: ${problem}; the label accuracy is left out`;
  expect(left).toEqual({ labelAccuracy: undefined, labelAccuracyByClass: undefined, warnings });
  expect(others).toEqual(expected);
});

it('labels of a reference, which no metric needs, do not matter', async () => {
  const expected = await evaluate(right);
  expect(await evaluate(right, labels(-1, 99))).toEqual(expected);
});
