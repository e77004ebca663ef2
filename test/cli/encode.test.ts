/** @file `acdit encode`, and training on what it makes. */
// @module-tag slow

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { writeIndex } from '../../src/data/latents/index-file.ts';
import { parseNpy } from '../../src/formats/npy.ts';
import { readImage } from '../../src/media/image.ts';
import { readMetrics } from '../../src/training/logging/jsonl.ts';
import { type CliResult, lastLine, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { writePictureFolder } from '../support/picture-folder.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { visibleFiles } from '../support/visible-files.ts';

const vae = golden('vae-tiny');
const inFolder = folderOfEachTest();
let data: string;

beforeEach(async () => {
  data = await writePictureFolder(inFolder('images'), 12, 32);
});

const encodeArgs = (out: string, ...more: string[]): string[] => {
  const settings = ['--vae', vae, '--size', '32', '--shard-size', '5', '--threads', '1'];
  return ['encode', data, inFolder(out), ...settings, ...more];
};
const encode = (out: string, ...more: string[]): Promise<CliResult> => runInProcess(encodeArgs(out, ...more));
const contents = (out: string): [string, string][] =>
  readdirSync(inFolder(out)).map((file) => [file, readFileSync(inFolder(out, file), 'latin1')]);
const index = (out: string) => JSON.parse(readFileSync(inFolder(out, 'index.json'), 'utf8'));

const recipe = {
  model: { layers: 1, hidden: 32, heads: 1, mlpRatio: 2, patch: 1, blocks: 4 },
  data: { flip: true },
  training: { steps: 120, batch: 8, schedule: 'constant', learningRate: 3e-3, ema: 0.9 },
  output: { logEvery: 20, sampleSteps: 2, cfg: 1 },
};

function train(...args: string[]): Promise<CliResult> {
  writeFileSync(inFolder('recipe.json'), JSON.stringify(recipe));
  return runInProcess([
    'train',
    inFolder('recipe.json'),
    '--data',
    inFolder('latents'),
    '--threads',
    '1',
    ...args,
  ]);
}

function expectBadInput({ code, stderr }: CliResult, ...messages: string[]): void {
  for (const message of messages) expect(lastLine(stderr)).toContain(message);
  expect(stderr).not.toContain('bug in acdit');
  expect(code).toBe(2);
}

/** A folder with another autoencoder of the same sizes. */
function otherAutoencoder(): string {
  const other = inFolder('other-vae');
  cpSync(vae, other, { recursive: true });
  const file = join(other, 'diffusion_pytorch_model.safetensors');
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  const [begin] = header['encoder.conv_in.weight'].data_offsets;
  bytes.writeFloatLE(0.5, 8 + Number(bytes.readBigUInt64LE(0)) + begin);
  writeFileSync(file, bytes);
  return other;
}

describe('from pictures to a model of latents', () => {
  it('encodes, trains until the loss falls, and samples', async () => {
    const encoded = await spawnCli(encodeArgs('latents'));
    expect(encoded).toMatchObject({ code: 0, stdout: `${inFolder('latents')}\n` });
    expect(encoded.stderr).toMatch(/36 images of 3 classes to latents of 4 x 4 x 4: 8 shards/);
    expect(encoded.stderr).toMatch(/encode \d+\/36 .*images\/s/);

    const trained = await train('--out', inFolder('run'), '--output.sampleEvery', '60', '--output.vae', vae);
    expect(trained).toMatchObject({ code: 0 });
    const losses = readMetrics(inFolder('run', 'metrics.jsonl')).map(({ loss }) => loss);
    expect(losses[5]).toBeLessThan(0.8 * losses[0]!);
    const drawn = await readImage(inFolder('run', 'samples', 'step-00000120.png'));
    expect(drawn.channels).toBe(3);
    const { config } = await loadModel(inFolder('run'));
    expect(config).toMatchObject({ space: 'latents', channels: 4, height: 4, width: 4, classes: 3 });
    expect(config.classNames).toEqual(['blue', 'green', 'red']);
    expect(config.autoencoder).toEqual(index('latents').autoencoder);

    const sample = (...args: string[]): Promise<CliResult> =>
      runInProcess(['sample', inFolder('run'), '--labels', 'red,blue', '--steps', '3', ...args]);
    const latents = await sample(
      '--no-decode',
      '--latents',
      inFolder('latents.npy'),
      '--out',
      inFolder('none'),
    );
    expect(latents).toMatchObject({ code: 0 });
    expect(parseNpy(readFileSync(inFolder('latents.npy'))).shape).toEqual([2, 4, 4, 4]);
    expect(await sample('--vae', vae, '--out', inFolder('samples'))).toMatchObject({ code: 0 });
    expect(await sample('--out', inFolder('own'))).toMatchObject({ code: 0 });
    const first = (out: string) => readFileSync(inFolder(out, '000-red.png'));
    expect(first('own').equals(first('samples'))).toBe(true);
    expect(visibleFiles(inFolder('samples'))).toEqual(['000-red.png', '001-blue.png', 'grid.png']);
    expect(await readImage(inFolder('samples', '000-red.png'))).toMatchObject({ width: 32, height: 32 });
    expectBadInput(
      await sample('--vae', otherAutoencoder(), '--out', inFolder('samples')),
      'is not the autoencoder that the model was trained with',
    );
    // Another encoder would give the first blocks other latents.
    const given = [
      '--continue',
      inFolder('samples', '000-red.png'),
      '--keep',
      '1',
      '--out',
      inFolder('given'),
    ];
    expectBadInput(
      await sample(...given, '--vae', otherAutoencoder()),
      'is not the autoencoder that the model was trained with',
    );
    expectBadInput(
      await sample(...given, '--no-decode', '--vae', otherAutoencoder()),
      'is not the autoencoder that the model was trained with',
    );
    expect(existsSync(inFolder('given'))).toBe(false);
    expect(await sample(...given, '--vae', vae)).toMatchObject({ code: 0 });
    // The same encoder under old names, in another format.
    const old = await sample('--vae', golden('vae-tiny-old'), '--out', inFolder('old'));
    expect(old).toMatchObject({ code: 0 });
  });

  it('resumes bit for bit where it stopped', async () => {
    await encode('latents', '--quiet');
    const args = ['--quiet', '--steps', '9'];
    const straight = await train('--out', inFolder('straight'), ...args);
    expect(straight).toMatchObject({ code: 0 });
    for (const steps of ['4', '9']) await train('--out', inFolder('run'), ...args, '--steps', steps);
    const weights = (run: string): Buffer => readFileSync(inFolder(run, 'model.safetensors'));
    expect(weights('run').equals(weights('straight'))).toBe(true);
  });

  it('says that nothing is drawn without an autoencoder', async () => {
    await encode('latents', '--quiet');
    const args = ['--out', inFolder('run'), '--steps', '2', '--output.sampleEvery', '1'];
    const { code, stderr } = await train(...args);
    expect(code).toBe(0);
    expect(stderr).toContain('no samples are drawn');
    expect(existsSync(inFolder('run', 'samples'))).toBe(false);
  });

  it('names what does not fit', async () => {
    const out = ['--out', inFolder('run'), '--steps', '2', '--quiet'];
    await encode('latents', '--quiet', '--no-flip');
    expectBadInput(await train(...out), '--no-flip');
    expectBadInput(await train(...out, '--data.flip', 'false', '--data.crop', '1'), 'crop');
    expectBadInput(
      await train(...out, '--data.flip', 'false', '--data.imageSize', '64'),
      'of 32 pixels, not 64',
    );
    expectBadInput(
      await train(...out, '--data.flip', 'false', '--model.blocks', '5'),
      'latents of 4 x 4 in patches of 1 do not divide into 5 blocks',
    );
    const noFlip = [...out, '--data.flip', 'false'];
    expectBadInput(await train(...noFlip, '--output.vae', otherAutoencoder()), 'is not the autoencoder');
    expectBadInput(await train(...noFlip, '--output.vae', inFolder('none')), 'none: no autoencoder');
    expect(existsSync(inFolder('run'))).toBe(false);
    truncateSync(inFolder('latents', 'shard-00003.safetensors'), 300);
    expectBadInput(await train(...noFlip), 'shard-00003.safetensors: has 300 bytes');
    writeFileSync(
      inFolder('latents', 'index.json'),
      JSON.stringify({ ...index('latents'), shardSize: 1e12 }),
    );
    expectBadInput(await train(...noFlip), 'index.json', 'shardSize');
  });

  it('refuses to go on with latents of another autoencoder', async () => {
    await encode('latents', '--quiet');
    const args = ['--out', inFolder('run'), '--quiet', '--steps'];
    await train(...args, '2');
    const other = { fingerprint: '0123456789abcdef', scalingFactor: 0.18215 };
    const { checksum: _, ...before } = index('latents');
    await writeIndex(inFolder('latents'), { ...before, autoencoder: other });
    expectBadInput(
      await train(...args, '3'),
      'was trained on latents of autoencoder',
      'now of 0123456789abcdef',
    );
  });
});

describe('acdit encode', () => {
  it('ends with the same bytes after a kill as without', async () => {
    expect(await encode('straight', '--quiet')).toMatchObject({ code: 0 });
    const running = startCli(encodeArgs('killed', '--json'));
    await running.printed('"shard":1');
    running.child.kill('SIGKILL');
    await running.result;
    const { length } = index('killed').shards;
    expect(length).toBeGreaterThan(1);
    expect(length).toBeLessThan(8);
    const { code, stdout } = await encode('killed', '--json');
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events[0]).toMatchObject({ kind: 'start', images: 36, done: 5 * length });
    expect(events.filter(({ kind }) => kind === 'shard')).toHaveLength(8 - length);
    expect(contents('killed')).toEqual(contents('straight'));
  });

  it('ends cleanly when interrupted', async () => {
    const running = startCli(encodeArgs('stopped', '--json'));
    await running.printed('"shard":0');
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.result;
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    const { shards } = index('stopped');
    expect(JSON.parse(lastLine(stdout))).toMatchObject({ kind: 'interrupted', shards: shards.length });
    expect(readdirSync(inFolder('stopped'))).toHaveLength(1 + shards.length);
    expect((await encode('stopped', '--quiet')).code).toBe(0);
  });

  it('skips corrupt images with a warning and counts them', async () => {
    writeFileSync(join(data, 'green', '004.png'), 'corrupt');
    const { code, stderr } = await encode('latents');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: .*004\.png/m);
    expect(stderr).toContain('1 corrupt images were skipped');
    expect(stderr).toContain('35 images are encoded');
    writeFileSync(join(data, 'green', '005.png'), 'corrupt');
    expectBadInput(await encode('latents'), 'was encoded with other settings: the data');
    for (let i = 0; i < 8; i++) writeFileSync(join(data, 'blue', `00${i}.png`), 'corrupt');
    expectBadInput(await encode('other'), 'are corrupt, at most 5% may be');
  });

  it('names what is wrong', async () => {
    expectBadInput(await runInProcess(['encode', data]), 'needs DATA and OUT');
    expectBadInput(await runInProcess(['encode', data, inFolder('out')]), '--vae DIR');
    expectBadInput(await encode('out', '--vae', inFolder('none')), 'no autoencoder');
    expectBadInput(await encode('out', '--size', '30'), '--size must be a multiple of 8, got 30');
    expectBadInput(await encode('out', '--size', 'big'), '--size');
    expectBadInput(await encode('out', '--dtype', 'bf16'), '--dtype must be one of fp16, fp32');
    expectBadInput(await encode('out', '--shard-size', '0'), '--shard-size');
    expectBadInput(await encode('out', '--split', 'test'), 'no test images');
    expectBadInput(await runInProcess(['encode', inFolder('none'), 'x', '--vae', vae]), 'does not exist');
    mkdirSync(inFolder('empty'));
    expectBadInput(await runInProcess(['encode', inFolder('empty'), 'x', '--vae', vae]), 'is empty');
    expectBadInput(await encode('images'), 'is inside');
    expectBadInput(await encode(join('images', 'latents')), 'is inside');
    expect(existsSync(inFolder('out'))).toBe(false);
    writeFileSync(inFolder('file'), '');
    expectBadInput(await encode('file'), 'file');
    await encode('latents', '--quiet');
    expectBadInput(
      await encode('latents', '--dtype', 'fp32'),
      'the dtype was "float16" and is now "float32"',
    );
    const again = ['encode', inFolder('latents'), inFolder('x'), '--vae', vae];
    expectBadInput(await runInProcess(again), 'holds latents already');
  });
});
