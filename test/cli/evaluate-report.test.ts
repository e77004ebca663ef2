/** @file `acdit evaluate --report`: one HTML file with all that was found. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { saveClassifier } from '../../src/checkpoints/classifier.ts';
import { pictureGrid } from '../../src/evaluation/report/images.ts';
import type { SampleSource } from '../../src/evaluation/sample-source.ts';
import { encodeNpz } from '../../src/formats/npz.ts';
import { readImage } from '../../src/media/image.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { float32, tensor } from '../../src/tensor/tensor.ts';
import { type CliResult, lastLine, runInProcess } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyClassifier } from '../support/tiny-classifier.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

const inFolder = (...names: string[]): string => join(folder, ...names);
const evaluate = (...args: string[]): Promise<CliResult> => runInProcess(['evaluate', ...args]);

async function writeFeatures(name: string, count: number, seed: number): Promise<string> {
  const features = float32([count, 6], Generator.seeded(seed).randn(count * 6));
  writeFileSync(inFolder(name), await encodeNpz({ features }));
  return inFolder(name);
}

async function writeImages(name: string, count: number, seed: number): Promise<string> {
  const draws = Generator.seeded(seed);
  const images = tensor('uint8', [count, 8, 8, 3], Uint8Array.from(draws.randint(0, 256, count * 192)));
  const labels = tensor(
    'int64',
    [count],
    BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 3)),
  );
  writeFileSync(inFolder(name), await encodeNpz({ arr_0: images, arr_1: labels }));
  return inFolder(name);
}

/** Nothing is fetched: all that a page may load is in it. */
function expectSelfContained(page: string): void {
  const loaded = [...page.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)/g)].map(
    ([, target]) => target,
  );
  for (const target of loaded) expect(target).toMatch(/^data:image\/png;base64,/);
  expect(page).not.toContain('<script');
}

describe('acdit evaluate --report', () => {
  it('shows the metrics, pictures and charts of images', async () => {
    const network = inFolder('classifier');
    await saveClassifier(network, tinyClassifier(['T-shirt/top', 'Sneaker & co', 'Bag']));
    const sets = [await writeImages('reference.npz', 90, 1), await writeImages('a<b>.npz', 70, 2)];
    const report = inFolder('pages', 'report.html');
    const { code, stdout } = await evaluate(...sets, '--network', network, '--report', report);
    expect(code).toBe(0);
    expect(lastLine(stdout)).toBe(report);
    const page = readFileSync(report, 'utf8');
    expectSelfContained(page);
    for (const line of stdout.split('\n').filter((text) => /^(Fréchet|precision|recall|KID)/.test(text))) {
      expect(page).toContain(`<td class="value">${line.split(/\s+/).at(-1)}</td>`);
    }
    expect(page).not.toContain('a<b>');
    expect(page).toContain('a&#60;b&#62;.npz');
    expect(page).toContain('Sneaker &#38; co');

    const pictures = [...page.matchAll(/<img src="data:image\/png;base64,([^"]+)"[^>]*alt="([^"]+)"/g)];
    expect(pictures.map(([, , alt]) => alt)).toEqual([
      'Grid of pictures. reference: 64 of 90 images, evenly spread over the set, of 8 x 8 pixels.',
      'Grid of pictures. samples: 64 of 70 images, evenly spread over the set, of 8 x 8 pixels.',
    ]);
    const grid = await readImage(Buffer.from(pictures[0][1], 'base64'));
    expect([grid.width, grid.height]).toEqual([8 * 66 + 2, 8 * 66 + 2]);
    const charts = [...page.matchAll(/<svg [^>]*role="img" aria-label="([^"]+)"/g)].map(([, label]) => label);
    expect(charts).toHaveLength(5); // neighbours, plane, classes of both sets, accuracy by class
    expect(charts[3]).toMatch(/^Samples by class, samples\. Bars: 3 classes, with 23 to 24 each/);
  });

  it('does without pictures where there are only features, and tells the warnings', async () => {
    const sets = [await writeFeatures('reference.npz', 40, 1), await writeFeatures('samples.npz', 30, 2)];
    const report = inFolder('report.html');
    const { code, stdout } = await evaluate(...sets, '--report', report, '--json');
    expect(code).toBe(0);
    const page = readFileSync(report, 'utf8');
    expectSelfContained(page);
    expect(page).not.toContain('<img');
    expect(page).toContain('subsets have all 30 samples');
    const { frechetDistance } = JSON.parse(stdout);
    expect(page).toContain(`<td class="value">${Number(frechetDistance.toPrecision(6))}</td>`);
    expect(page.match(/<svg /g)).toHaveLength(2);
  });

  it('wants a name that ends in .html', async () => {
    const set = await writeFeatures('set.npz', 9, 1);
    const { code, stderr } = await evaluate(set, set, '--report', 'x.pdf');
    expect(code).toBe(2);
    expect(stderr).toContain("--report names a file to write, which must end in .html, got 'x.pdf'");
  });
});

describe('pictureGrid', () => {
  it('shows clips as rows of their frames', async () => {
    const shape = [12, 16, 16, 3];
    const size = 12 * 16 * 16 * 3;
    const source: SampleSource = {
      name: 'clips',
      count: 20,
      shape,
      async *batches(count) {
        for (let first = 0; first < 20; first += count) {
          const n = Math.min(count, 20 - first);
          yield tensor('uint8', [n, ...shape], new Uint8Array(n * size).fill(first));
        }
      },
      async close() {},
    };
    const { content, caption } = await pictureGrid(source, 'samples');
    expect(caption).toContain(
      '8 of 20 clips, evenly spread over the set, of 16 x 16 pixels, a row each with 8 of its 12 frames',
    );
    const image = await readImage(Buffer.from(/base64,([^"]+)/.exec(content)![1], 'base64'));
    expect([image.width, image.height]).toEqual([8 * 64 + 4, 8 * 66 + 2]);
    const rows = Array.from({ length: 8 }, (_, row) => image.data[((2 + 66 * row) * image.width + 2) * 3]);
    expect(rows).toEqual([0, 0, 0, 0, 8, 8, 8, 16]); // samples 0, 2, 5, 7, 10, 12, 15, 17, by batches of 8
  });
});
