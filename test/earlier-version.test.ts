/**
 * Files that the code of commit fe45dcb wrote, before files had checksums: a run of 4 steps, latents, and an unfinished
 * npz file of samples of the run. The losses and images that follow are those that the code of that commit computed.
 */

import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openNpz } from '../src/formats/npz.ts';
import { openFile } from '../src/io/file-source.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { readMetrics } from '../src/training/logging/jsonl.ts';
import { type CliResult, lastLine, runInProcess } from './support/cli.ts';
import { golden } from './support/golden.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

/** Relative, since the run's state holds a fingerprint of its recipe, and so of the path of its data. */
const FIXTURE = 'test/fixtures/earlier-version';
const losses: { readonly run: number[]; readonly latents: number[] } = JSON.parse(
  readFileSync(join(FIXTURE, 'losses.json'), 'utf8'),
);

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
  cpSync(FIXTURE, folder, { recursive: true });
});

const inFolder = (...names: string[]): string => join(folder, ...names);
const state = (): string => inFolder('run', 'trainer', 'step-00000004.safetensors');

function resume(...args: string[]): Promise<CliResult> {
  const recipe = inFolder('recipe.json');
  return runInProcess(['train', recipe, '--out', inFolder('run'), '--steps', '8', '--threads', '1', ...args]);
}

function expectLosses(run: string, after: number, expected: readonly number[]): void {
  const logged = readMetrics(inFolder(run, 'metrics.jsonl')).filter(({ step }) => step > after);
  expect(logged).toHaveLength(expected.length);
  for (const [i, { loss }] of logged.entries()) {
    expect(Math.abs(Number(loss) - Number(expected[i]))).toBeLessThan(1e-6);
  }
}

function expectBadInput({ code, stderr }: CliResult, message: string): void {
  expect(lastLine(stderr)).toContain(message);
  expect(code).toBe(2);
}

describe('a run', () => {
  it('resumes with the same losses, and a warning of what cannot be checked', async () => {
    const { code, stderr } = await resume();
    expect(code).toBe(0);
    expect(stderr.match(/^warning: .*$/gm)).toEqual([
      `warning: ${state()}: an earlier version wrote it, without checksums and class names, so damage or a change of ` +
        'these would not be noticed',
    ]);
    expectLosses('run', 4, losses.run);
    // Its next state has all of it.
    expect((await resume('--steps', '9')).stderr).not.toContain('warning');
  });

  it('is refused with a different recipe', async () => {
    expectBadInput(
      await resume('--learning-rate', '0.01'),
      'was trained with a different recipe, by an earlier version',
    );
  });

  it('is refused if it is damaged', async () => {
    truncateSync(state(), 60_000);
    expectBadInput(await resume(), 'the state is damaged');
  });

  it('is refused if a state of this version lost its checksums', async () => {
    await resume();
    rmSync(state());
    const newer = inFolder('run', 'trainer', 'step-00000008.safetensors');
    const bytes = readFileSync(newer);
    writeFileSync(
      newer,
      Buffer.from(bytes.toString('latin1').replaceAll('"checksum', '"chfcksum'), 'latin1'),
    );
    expectBadInput(await resume('--steps', '9'), 'its metadata holds no checksums');
  });
});

describe('latents', () => {
  const encode = (out: string, ...args: string[]): Promise<CliResult> => {
    const settings = ['--vae', golden('vae-tiny'), '--size', '16', '--shard-size', '4', '--threads', '1'];
    return runInProcess(['encode', inFolder('images'), inFolder(out), ...settings, ...args]);
  };
  const train = (data: string): Promise<CliResult> => {
    const recipe = {
      model: { layers: 1, hidden: 8, heads: 1, mlpRatio: 2, patch: 1, blocks: 4 },
      data: { path: inFolder(data), flip: true },
      training: { steps: 3, batch: 4, schedule: 'constant', learningRate: 1e-3, ema: 0.9 },
      output: { folder: inFolder('latents-run'), logEvery: 1 },
    };
    writeFileSync(inFolder('recipe.json'), JSON.stringify(recipe));
    return runInProcess(['train', inFolder('recipe.json'), '--threads', '1']);
  };

  it('are trained on with the same losses, and a warning', async () => {
    const { code, stderr } = await train('latents');
    expect(code).toBe(0);
    expect(stderr).toContain('latents: was encoded by an earlier version, without checksums');
    expectLosses('latents-run', 0, losses.latents);
  });

  it('are completed if they are unfinished', async () => {
    const index = JSON.parse(readFileSync(inFolder('latents', 'index.json'), 'utf8'));
    index.shards.pop();
    writeFileSync(inFolder('latents', 'index.json'), JSON.stringify(index));
    rmSync(inFolder('latents', 'shard-00001.safetensors'));
    expectBadInput(await encode('latents'), 'the use of EXIF orientation was true and is now false');
    const { code, stderr } = await encode('latents', '--exif-orientation');
    expect(code).toBe(0);
    expect(stderr).toContain('warning: ');
    expect(stderr).not.toContain('made again');
    await train('latents');
    expectLosses('latents-run', 0, losses.latents);
  });

  it('are refused if they are damaged', async () => {
    truncateSync(inFolder('latents', 'shard-00000.safetensors'), 700);
    expectBadInput(await train('latents'), 'shard-00000.safetensors');
  });
});

describe('an unfinished npz file', () => {
  const sample = (): Promise<CliResult> => {
    const settings = ['--count', '8', '--steps', '2', '--batch', '4', '--threads', '1', '--json'];
    return runInProcess(['sample', inFolder('run'), '--npz', inFolder('unfinished.npz'), ...settings]);
  };
  const images = async (name: string): Promise<Tensor> => {
    const npz = await openNpz(await openFile(inFolder(name)));
    try {
      return await npz.read('arr_0');
    } finally {
      await npz.close();
    }
  };

  it('is completed with the same images, and a warning', async () => {
    const { code, stdout, stderr } = await sample();
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ made: 4, done: true });
    expect(stderr).toContain('an earlier version wrote it, without a checksum of the settings');
    const [made, expected] = [await images('unfinished.npz'), await images('samples.npz')];
    expect(made.shape).toEqual(expected.shape);
    // The last bits of a few operations changed since.
    for (const [i, value] of expected.data.entries()) {
      expect(Math.abs(Number(made.data[i]) - Number(value))).toBeLessThanOrEqual(1);
    }
  });

  it('makes damaged rows again', async () => {
    const partial = inFolder('unfinished.npz.partial');
    const bytes = readFileSync(partial);
    bytes.writeUInt8(bytes.readUInt8(900) ^ 1, 900);
    writeFileSync(partial, bytes);
    const { code, stdout, stderr } = await sample();
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ made: 8, done: true });
    expect(stderr).toContain('is damaged after row 0 of 4');
  });
});
