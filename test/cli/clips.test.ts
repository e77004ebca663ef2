/** `acdit sample` of clips, and continuing images and clips. */
// @module-tag slow

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cropFrame } from '../../src/data/videos/clip.ts';
import { parseNpy } from '../../src/formats/npy.ts';
import { enlarge, type Image, readImage, withChannels, writePng } from '../../src/media/image.ts';
import { readFrames } from '../../src/media/video-reader.ts';
import { type CliResult, expectBadInput, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { noiseImage } from '../support/noise-image.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyPixels, tinyVideo } from '../support/tiny-model.ts';

const inFolder = folderOfEachTest();

const sample = (model: string, ...args: string[]): Promise<CliResult> =>
  runInProcess(['sample', model, '--steps', '2', '--out', inFolder('out'), ...args]);

async function framesOf(path: string): Promise<Image[]> {
  const frames: Image[] = [];
  for await (const frame of readFrames(path)) frames.push(frame);
  return frames;
}

describe('acdit sample of a video model', () => {
  it('writes a clip a sample, enlarged to be seen, and an overview', async () => {
    const model = await saveTiny(inFolder('model'), tinyVideo);
    const result = await sample(model, '--labels', 'Bag,0/0/1/1', '--format', 'webp', '--json');
    expect(result).toMatchObject({ code: 0 });
    const { samples, grid, cfg } = JSON.parse(result.stdout);
    expect(cfg).toBe(2.5);
    expect(samples[1].name).toBe('T-shirt/top / T-shirt/top / Sneaker / Sneaker');
    expect(existsSync(grid)).toBe(true);
    for (const { file } of samples) {
      const frames = await framesOf(file);
      expect(frames.map(({ width, height }) => [width, height])).toEqual(Array(8).fill([256, 256]));
    }
  });

  it('decodes latents in a process beside, frame by frame', async () => {
    const [model, vae] = [golden('video-tiny.pt'), golden('vae-tiny')];
    const args = ['--vae', vae, '--labels', '1', '--steps', '2', '--format', 'png'];
    const files = ['--out', inFolder('out'), '--latents', inFolder('latents.npy')];
    expect(await spawnCli(['sample', model, ...args, ...files])).toMatchObject({ code: 0 });
    const frames = await framesOf(inFolder('out', '000-class-1'));
    expect(frames.map(({ width, height }) => [width, height])).toEqual(Array(4).fill([64, 64]));
    expect(parseNpy(readFileSync(inFolder('latents.npy'))).shape).toEqual([1, 2, 32, 16]);
  });

  it('continues a clip, and beyond the trained length', async () => {
    const model = await saveTiny(inFolder('model'), tinyVideo);
    const first = ['--labels', '1', '--format', 'png'];
    await sample(model, ...first);
    const clip = inFolder('out', '000-sneaker');
    const before = await framesOf(clip);
    const args = ['--continue', clip, '--keep', '3', '--blocks', '9', '--out', inFolder('longer'), '--json'];
    const longer = await sample(model, '--labels', '2', '--format', 'png', ...args);
    expect(longer).toMatchObject({ code: 0 });
    expect(JSON.parse(longer.stdout)).toMatchObject({
      keptBlocks: 3,
      untrained: expect.stringContaining('not trained for'),
    });
    const after = await framesOf(inFolder('longer', '000-bag'));
    expect(after).toHaveLength(18);
    expect(after.slice(0, 6)).toEqual(before.slice(0, 6));
    expect(after.slice(6, 8)).not.toEqual(before.slice(6, 8));
  });

  it('cuts frames to go on from as those of training', async () => {
    const model = await saveTiny(inFolder('model'), tinyVideo);
    mkdirSync(inFolder('large'));
    const noise = noiseImage(27, 19, 3);
    const large = Array.from({ length: 8 }, (_, i) => ({
      ...noise,
      data: noise.data.map((x) => x ^ (31 * i)),
    }));
    for (const [i, image] of large.entries()) await writePng(inFolder('large', `${i}.png`), image);
    const args = ['--labels', '1', '--format', 'png', '--continue', inFolder('large'), '--keep', '2'];
    expect(await sample(model, ...args)).toMatchObject({ code: 0 });
    const made = await framesOf(inFolder('out', '000-sneaker'));
    const grey = (image: Image): number[] => [...withChannels(image, 1).data];
    const trained = large.slice(0, 4).map((image) => cropFrame(image, { size: 8, channels: 1 }));
    expect(made.slice(0, 4).map(grey)).toEqual(trained.map(grey));
    expect(grey(made[4])).not.toEqual(grey(cropFrame(large[4], { size: 8, channels: 1 })));
  });

  it('leaves whole clips of what is finished on Ctrl-C', async () => {
    const model = await saveTiny(inFolder('model'), tinyVideo);
    const args = [
      'sample',
      model,
      '--labels',
      '1',
      '--steps',
      '900',
      '--blocks',
      '4',
      '--format',
      'gif',
      '--out',
      inFolder('out'),
    ];
    const running = startCli(args);
    running.child.stdout.resume();
    running.child.stderr.resume();
    const clip = inFolder('out', '000-sneaker.gif');
    const watch = setInterval(() => {
      if (!existsSync(clip)) return;
      clearInterval(watch);
      running.child.kill('SIGINT');
    }, 20);
    expect(await running.result).toMatchObject({ code: 130 });
    const frames = await framesOf(clip);
    expect(frames.length).toBeGreaterThanOrEqual(2);
    expect(frames.length).toBeLessThan(8);
  });
});

describe('acdit sample --continue of a picture', () => {
  it('keeps its first blocks and makes the others', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    const noise = await sample(model, '--labels', '0');
    expect(noise).toMatchObject({ code: 0 });
    const path = inFolder('out', '000-t-shirt-top.png');
    const picture = await readImage(path);
    const result = await sample(
      model,
      '--labels',
      '1,2',
      '--continue',
      path,
      '--keep',
      '2',
      '--out',
      inFolder('next'),
    );
    expect(result).toMatchObject({ code: 0 });
    const top = ({ data }: Image): number[] => [...data.subarray(0, data.length / 2)];
    const bottom = ({ data }: Image): number[] => [...data.subarray(data.length / 2)];
    for (const name of ['000-sneaker.png', '001-bag.png']) {
      const made = await readImage(inFolder('next', name));
      expect(top(made)).toEqual(top(picture));
      expect(bottom(made)).not.toEqual(bottom(picture));
    }
    // A larger picture is brought to size; without --keep, all blocks but the last one stay.
    await writePng(inFolder('large.png'), enlarge(picture, 4));
    const rest = await sample(model, '--labels', '1', '--continue', inFolder('large.png'), '--json');
    expect(JSON.parse(rest.stdout)).toMatchObject({ keptBlocks: 3 });
  });

  it('encodes pictures for a model of latents', async () => {
    const [model, vae] = [golden('image-tiny.pt'), golden('vae-tiny')];
    const picture: Image = { width: 64, height: 64, channels: 3, data: new Uint8Array(64 * 64 * 3).fill(90) };
    await writePng(inFolder('grey.png'), picture);
    const args = [
      '--vae',
      vae,
      '--labels',
      '1',
      '--continue',
      inFolder('grey.png'),
      '--keep',
      '2',
      '--no-decode',
      '--json',
    ];
    const result = await sample(model, ...args);
    expect(result).toMatchObject({ code: 0 });
    expect(JSON.parse(result.stdout)).toMatchObject({ keptBlocks: 2 });
  });
});

describe('clips and continuations that cannot be made', () => {
  it.each([
    [['--format', 'mpg'], /--format must be one of mp4, webp, gif, png, got 'mpg'/],
    [['--fps', '0'], /--fps must be a number above 0, got '0'/],
    [['--blocks', '0'], /--blocks must be a whole number of at least 1, got '0'/],
    [['--window', '4', '--blocks', '9'], /window must be 1 to 3.*got 4/],
    [['--context-noise', '1000'], /context-noise must be a timestep from 0 to 999, got 1000/],
    [['--keep', '1'], /--keep says how much of --continue is kept/],
    [['--continue', 'missing.gif'], /missing\.gif: cannot be read \(ENOENT\)/],
    [['--labels', '0/1/2', '--blocks', '4'], /has 3 values; give one, or one for each of 4 blocks/],
  ] as const)('%j', async (args, message) => {
    const model = await saveTiny(inFolder('model'), tinyVideo);
    expectBadInput(await sample(model, '--format', 'gif', ...args), message);
  });

  it('clips that are too short, too small, or leave nothing to make', async () => {
    const model = await saveTiny(inFolder('model'), tinyVideo);
    mkdirSync(inFolder('frames'));
    const frame = (side: number): Image => ({
      width: side,
      height: side,
      channels: 1,
      data: new Uint8Array(side * side),
    });
    for (const t of [0, 1, 2]) await writePng(inFolder('frames', `${t}.png`), frame(8));
    const from = (path: string, ...more: string[]) =>
      sample(model, '--format', 'gif', '--continue', inFolder(path), ...more);
    expectBadInput(await from('frames', '--keep', '2'), /2 blocks are 4 frames, and it has 3/);
    expectBadInput(
      await from('frames', '--keep', '1', '--blocks', '1'),
      /--keep 1 leaves nothing to make of 1 blocks/,
    );
    await writePng(inFolder('small.png'), frame(4));
    expectBadInput(await from('small.png'), /is 4 x 4 pixels, and the model makes 8 x 8; give a larger one/);
    writeFileSync(inFolder('noise.png'), 'no picture');
    expectBadInput(await from('noise.png'), /noise\.png/);
  });

  it('of a model of pictures', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    expectBadInput(await sample(model, '--fps', '4'), /--fps is for clips, but this model makes pictures/);
    expectBadInput(await sample(model, '--blocks', '5'), /an image of this model has 4 blocks, got 5/);
  });
});
