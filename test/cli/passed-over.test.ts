/** @file What commands do with files of a set that they do not read, images on their side, and images that are too large. */

import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { blankImage, encodePng, type Image } from '../../src/media/image.ts';
import { type CliResult, lastLine, runInProcess } from '../support/cli.ts';
import { folderOf } from '../support/folder-of.ts';
import { golden } from '../support/golden.ts';
import { noiseImage } from '../support/noise-image.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SIDE = 32;
const image = noiseImage(SIDE, SIDE, 3);
let png: Uint8Array;

beforeAll(async () => {
  png = await encodePng(image);
});

function train(data: string, out: string, ...flags: string[]): Promise<CliResult> {
  const recipe = join(temporaryFolder(), 'recipe.json');
  const model = { layers: 1, hidden: 32, heads: 1, patch: 8, blocks: 4 };
  const training = { steps: 2, batch: 4 };
  writeFileSync(
    recipe,
    JSON.stringify({ model, data: { path: data, imageSize: SIDE }, training, output: { folder: out } }),
  );
  return runInProcess(['train', recipe, '--threads', '1', '--json', ...flags]);
}

function encode(data: string, out: string, ...flags: string[]): Promise<CliResult> {
  const settings = ['--vae', golden('vae-tiny'), '--size', String(SIDE), '--threads', '1', '--json'];
  return runInProcess(['encode', data, out, ...settings, ...flags]);
}

function evaluate(reference: string, samples: string, ...flags: string[]): Promise<CliResult> {
  const settings = ['--network', 'fashion-mnist', '--kid-subsets', '0', '--threads', '1', '--json'];
  return runInProcess(['evaluate', reference, samples, ...settings, ...flags]);
}

/** The tensors that a command makes, as bytes: the weights of a model, or latents. */
function made(out: string): Buffer[] {
  const files = readdirSync(out).filter((name) => name.endsWith('.safetensors'));
  expect(files.length).toBeGreaterThan(0);
  return files.sort().map((name) => {
    const bytes = readFileSync(join(out, name));
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
  });
}

const events = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

const whole = () =>
  folderOf(
    Object.fromEntries(
      [0, 1, 2].flatMap((i) => [
        [`a/${i}.png`, png],
        [`b/${i}.png`, png],
      ]),
    ),
  );
/** Two classes, and among their images four files that are none that can be read. */
const mixed = () => {
  const images = [0, 1, 2].flatMap((i) => [
    [`a/${i}.png`, png],
    [`b/${i}.png`, png],
  ]);
  const others = { 'a/3.heic': 'x', 'a/4.HEIC': 'x', 'b/notes': 'some text', 'b/x.psd': 'x' };
  return folderOf({ ...Object.fromEntries(images), ...others });
};
const count = 4;
const extensions = { '.heic': 2, '': 1, '.psd': 1 };

describe('files that are not read', () => {
  it.each([
    ['train', train],
    ['encode', encode],
  ])('are counted in the JSON of acdit %s, and named in one warning', async (_, command) => {
    const data = mixed();
    const { code, stdout, stderr } = await command(data, join(temporaryFolder(), 'out'));
    expect(code, stderr).toBe(0);
    const [start] = events(stdout);
    expect(start).toMatchObject({ kind: 'start', ignoredFiles: { count, extensions } });
    const { examples } = start.ignoredFiles as { examples: string[] };
    expect(examples.map((path) => path.slice(data.length + 1))).toEqual(['a/3.heic', 'a/4.HEIC', 'b/notes']);
    const warnings = stderr.split(/[\r\n]+/).filter((line) => line.startsWith('warning: '));
    expect(warnings).toEqual([
      `warning: ${data}: ignored 4 files not read as images: 2 .heic, 1 without an extension, 1 .psd (3.heic, 4.HEIC, notes, ...)`,
    ]);

    const clean = await command(whole(), join(temporaryFolder(), 'out'));
    expect(events(clean.stdout)[0]).not.toHaveProperty('ignoredFiles');
    expect(clean.stderr).not.toContain('ignored');
  });

  it.each([
    ['train', (data: string) => train(data, join(temporaryFolder(), 'out'))],
    ['encode', (data: string) => encode(data, join(temporaryFolder(), 'out'))],
    ['evaluate', (data: string) => evaluate(data, whole())],
  ])('may be links that lead nowhere, which acdit %s counts and names too', async (_, command) => {
    const data = whole();
    symlinkSync(join(data, 'gone.png'), join(data, 'a', '9.png'));
    symlinkSync(join(data, 'gone'), join(data, 'c'));
    const { code, stdout, stderr } = await command(data);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('"special":{"broken link":2}');
    expect(stderr).toContain(`${data}: ignored 2 files not read as images: 2 broken links (`);
  });

  it('are counted in the JSON of acdit evaluate for each set', async () => {
    const [reference, samples] = [whole(), mixed()];
    const result = await evaluate(reference, samples);
    expect(result.code, result.stderr).toBe(0);
    const { ignoredFiles, frechetDistance } = JSON.parse(result.stdout);
    expect(ignoredFiles).toEqual({ samples: { count, extensions, examples: expect.any(Array) } });
    expect(frechetDistance).toBe(0);
    expect(result.stderr.match(/ignored 4 files/g)).toHaveLength(1);
    const both = JSON.parse((await evaluate(samples, samples)).stdout).ignoredFiles;
    expect(both).toMatchObject({ reference: { count, extensions }, samples: { count, extensions } });
    expect(JSON.parse((await evaluate(reference, reference)).stdout)).not.toHaveProperty('ignoredFiles');
  });
});

/** An image whose EXIF data says that it is to be turned by a quarter to the right: orientation 6. */
function onItsSide({ width, height, channels, data }: Image): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels } }).withMetadata({ orientation: 6 }).png().toBuffer();
}

/** An image turned by a quarter to the right: its first row is the last column. */
function turned({ width, height, channels, data }: Image): Image {
  const out = blankImage(height, width, channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        out.data[(x * height + (height - 1 - y)) * channels + c] = data[(y * width + x) * channels + c];
      }
    }
  }
  return out;
}

describe('--exif-orientation', () => {
  it.each([
    ['train', train],
    ['encode', encode],
  ])('of acdit %s turns images, which are otherwise read as they are stored', async (_, command) => {
    const run = async (file: Uint8Array, ...flags: string[]): Promise<Buffer[]> => {
      const out = join(temporaryFolder(), 'out');
      const { code, stderr } = await command(folderOf({ 'a/0.png': file, 'a/1.png': png }), out, ...flags);
      expect(code, stderr).toBe(0);
      return made(out);
    };
    const side = await onItsSide(image);
    const stored = await run(png);
    expect(await run(side)).toEqual(stored);
    const upright = await run(await encodePng(turned(image)));
    expect(upright).not.toEqual(stored);
    expect(await run(side, '--exif-orientation')).toEqual(upright);
  });
});

describe('--max-pixels', () => {
  let large: Uint8Array;
  beforeAll(async () => {
    large = await encodePng(noiseImage(SIDE + 1, SIDE, 3));
  });

  it.each([
    ['train', train],
    ['encode', encode],
  ])('of acdit %s skips images with more pixels, with a warning', async (_, command) => {
    const data = folderOf({ 'a/0.png': png, 'a/1.png': png, 'a/large.png': large });
    const run = (pixels: number): Promise<CliResult> =>
      command(data, join(temporaryFolder(), 'out'), '--max-pixels', String(pixels));
    const skipped = `skipped ${join(data, 'a', 'large.png')}: `;
    const { code, stderr } = await run(SIDE * SIDE);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(skipped);
    expect(stderr).toContain(`33 x 32`);
    const all = await run(SIDE * (SIDE + 1));
    expect(all.code, all.stderr).toBe(0);
    expect(all.stderr).not.toContain('skipped');
    const wrong = await command(data, join(temporaryFolder(), 'out'), '--max-pixels', 'many');
    expect(wrong.code).toBe(2);
    expect(lastLine(wrong.stderr)).toMatch(/max-?pixels/i);
  });

  it('of acdit evaluate refuses sets with larger images', async () => {
    const data = folderOf({ '0.png': large, '1.png': large });
    const flags = ['--size', String(SIDE)];
    const { code, stdout, stderr } = await evaluate(
      data,
      data,
      ...flags,
      '--max-pixels',
      String(SIDE * SIDE),
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(lastLine(stderr)).toContain('0.png');
    expect(lastLine(stderr)).toContain('33 x 32');
    const all = await evaluate(data, data, ...flags, '--max-pixels', String(SIDE * (SIDE + 1)));
    expect(all.code, all.stderr).toBe(0);
  });
});
