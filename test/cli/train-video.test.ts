/** @file `acdit train` and `acdit encode` on clips. */
// @module-tag slow

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { readImage } from '../../src/media/image.ts';
import { probeVideo } from '../../src/media/video-reader.ts';
import { readMetrics } from '../../src/training/logging/jsonl.ts';
import { type CliResult, lastLine, runInProcess, spawnCli } from '../support/cli.ts';
import { writeClip } from '../support/clip-files.ts';
import { golden } from '../support/golden.ts';
import { writeIdxDataset } from '../support/idx-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let folder: string;
const inFolder = (...names: string[]): string => join(folder, ...names);
beforeEach(() => {
  folder = temporaryFolder();
});

const tiny = { layers: 1, hidden: 32, heads: 1, mlpRatio: 2, patch: 4, blocks: 2 };

/** Arguments of a training that takes milliseconds a step. */
function trainArgs(data: object, run: string, ...args: string[]): string[] {
  const json = {
    model: tiny,
    data,
    training: { steps: 6, batch: 2, schedule: 'constant', learningRate: 1e-3, ema: 0.9 },
    output: { folder: inFolder(run), logEvery: 2, sampleSteps: 2 },
  };
  writeFileSync(inFolder('recipe.json'), JSON.stringify(json));
  return ['train', inFolder('recipe.json'), '--threads', '1', ...args];
}

const weights = (run: string): Buffer => readFileSync(inFolder(run, 'model.safetensors'));
const last = ({ stdout }: CliResult) => JSON.parse(lastLine(stdout));

function expectBadInput({ code, stderr }: CliResult, ...messages: string[]): void {
  for (const message of messages) expect(lastLine(stderr)).toContain(message);
  expect(stderr).not.toContain('bug in acdit');
  expect(code).toBe(2);
}

describe('acdit train on moving items', () => {
  const moving = () => ({ path: inFolder('idx'), imageSize: 8, frames: 4, speed: [1, 2], flip: true });
  const train = (run: string, ...args: string[]) => runInProcess(trainArgs(moving(), run, ...args));
  beforeEach(() => void writeIdxDataset(inFolder('idx'), { count: 12, side: 4, classes: 3 }));

  it('trains, draws grids and animations, and samples', async () => {
    const { code, stderr } = await train('run', '--output.sampleEvery', '6');
    expect(code).toBe(0);
    expect(stderr).toMatch(/12 clips of 3 classes/);
    expect(stderr).toMatch(/clips\/s/);
    const { config } = await loadModel(inFolder('run'));
    expect(config).toMatchObject({ frames: 4, channels: 1, blocks: 2, blockSize: 8, squareBlocks: false });
    expect(config).toMatchObject({ positionSplit: [2, 3, 3], guidance: 2.5 });
    expect(readdirSync(inFolder('run', 'samples'))).toEqual(['step-00000006.png', 'step-00000006.webp']);
    const drawn = await readImage(inFolder('run', 'samples', 'step-00000006.png'));
    expect(drawn.height).toBe(3 * (64 + 16) + 16); // a row a class
    expect(drawn.width).toBeGreaterThan(4 * (64 + 16)); // of 4 frames
    const animation = await probeVideo(inFolder('run', 'samples', 'step-00000006.webp'));
    expect(animation).toMatchObject({ frames: 4, fps: 4, height: 64 + 32 });
    const sampled = await runInProcess([
      ...['sample', inFolder('run'), '--labels', '0,2', '--steps', '2', '--format', 'png', '--out'],
      ...[inFolder('samples'), '--json'],
    ]);
    expect(sampled.code).toBe(0);
  });

  it('resumes bit for bit where it stopped', async () => {
    for (const steps of ['2', '6']) await train('run', '--quiet', '--steps', steps);
    await train('straight', '--quiet');
    expect(weights('run').equals(weights('straight'))).toBe(true);
    const losses = readMetrics(inFolder('run', 'metrics.jsonl')).map(({ loss }) => loss);
    expect(losses).toEqual(readMetrics(inFolder('straight', 'metrics.jsonl')).map(({ loss }) => loss));
  });

  it('names what is wrong', async () => {
    expectBadInput(await train('run', '--data.frame', '3'), "'data.frame'; did you mean 'frames'?");
    expectBadInput(await train('run', '--data.frames', '0'), 'data.frames');
    expectBadInput(await train('run', '--data.itemSize', '9'), 'do not fit on a canvas of 8 x 8');
    expectBadInput(await train('run', '--data.speed', '[3,1]'), 'the slowest and then the fastest');
    expectBadInput(
      await train('run', '--data.frameInterval', '2'),
      'frameInterval is for data of kind video',
    );
    expectBadInput(
      await train('run', '--model.blocks', '3'),
      '4 frames of images of 8 x 8 in patches of 4 do not divide into 3 blocks',
    );
    expectBadInput(await train('run', '--model.squareBlocks', 'true'), 'square blocks');
  });
});

describe('acdit train on videos', () => {
  const clips = () => ({ path: inFolder('videos'), imageSize: 8, channels: 1, frames: 4, frameInterval: 2 });

  async function writeVideos(): Promise<void> {
    for (let i = 0; i < 8; i++) {
      const name = `${String(i).padStart(2, '0')}.webp`;
      await writeClip(inFolder('videos', i % 2 ? 'a' : 'b', name), { frames: 12, side: 16, first: 20 * i });
    }
  }

  it('skips corrupt and short ones with a warning, and resumes bit for bit', async () => {
    await writeVideos();
    writeFileSync(inFolder('videos', 'a', '01.webp'), 'corrupt');
    await writeClip(inFolder('videos', 'b', '02.webp'), { frames: 3, side: 16 });
    const train = (run: string, ...args: string[]) => spawnCli(trainArgs(clips(), run, '--json', ...args));
    const straight = await train('straight');
    expect(straight.code).toBe(0);
    expect(straight.stderr).toMatch(/^warning: skipped .*01\.webp: /m);
    expect(straight.stderr).toMatch(/^warning: skipped .*02\.webp: has 3 frames, and a clip of 4 frames/m);
    expect(last(straight)).toMatchObject({ kind: 'done', corruptFiles: 2 });
    for (const steps of ['3', '6']) expect((await train('run', '--steps', steps)).code).toBe(0);
    expect(weights('run').equals(weights('straight'))).toBe(true);
  });

  it('says so if too many are corrupt', async () => {
    await writeVideos();
    for (const name of readdirSync(inFolder('videos', 'a'))) {
      writeFileSync(inFolder('videos', 'a', name), 'corrupt');
    }
    expectBadInput(await spawnCli(trainArgs(clips(), 'run', '--quiet')), 'videos read so far are corrupt');
  });

  it('trains on their latents, as acdit encode writes them', async () => {
    await writeVideos();
    const vae = ['--vae', golden('vae-tiny'), '--size', '32', '--threads', '1'];
    const encode = (...args: string[]) =>
      runInProcess(['encode', inFolder('videos'), inFolder('latents'), ...vae, ...args]);
    expectBadInput(await encode('--fold', '1'), '--fold is for UCF-101');
    expectBadInput(await encode('--video', '--fold', '4'), '--fold must be one of 1, 2, 3');
    expectBadInput(await encode('--video', '--fold', '1'), 'fold is for data of kind ucf101');
    const encoded = await encode('--video', '--shard-size', '3');
    expect(encoded).toMatchObject({ code: 0, stdout: `${inFolder('latents')}\n` });
    expect(encoded.stderr).toMatch(/8 videos of 2 classes to latents of 4 x 4 x 4: 3 shards, .* per frame/);
    expect(encoded.stderr).toMatch(/encode \d+\/8 .*videos\/s/);
    const latents = { path: inFolder('latents'), frames: 4, frameInterval: 2, flip: true };
    const train = (run: string, ...args: string[]) =>
      runInProcess(trainArgs(latents, run, '--quiet', ...args));
    expectBadInput(await train('none', '--data.crop', '1'), 'crop');
    for (const steps of ['2', '6']) {
      expect(await train('run', '--steps', steps)).toMatchObject({ code: 0, stderr: '' });
    }
    await train('straight');
    expect(weights('run').equals(weights('straight'))).toBe(true);
    const { config } = await loadModel(inFolder('run'));
    expect(config).toMatchObject({ space: 'latents', frames: 4, channels: 4, height: 4, classes: 2 });
  });
});
