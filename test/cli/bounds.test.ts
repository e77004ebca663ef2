/** @file What takes more of the machine than there is, is refused before any weights are read. */
// @module-tag slow

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { reportFailure } from '../../src/cli/failure.ts';
import { requireSamplingMemory } from '../../src/runs/checks.ts';
import { machine } from '../../src/runtime/machine.ts';
import { type CliResult, expectBadInput, runInProcess } from '../support/cli.ts';
import { writePictureFolder } from '../support/picture-folder.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

const inFolder = folderOfEachTest();
let pixels: string;

beforeEach(async () => {
  pixels = await saveTiny(inFolder('pixels'), tinyPixels);
});

describe('threads', () => {
  it.each([
    ['sample', (model: string) => [model]],
    ['verify', (model: string) => [model, 'golden.npz']],
    ['serve', (model: string) => [model]],
  ])('of acdit %s are at most 4 per core', async (command, args) => {
    const most = 4 * machine().cores;
    for (const threads of [String(most + 1), '99999']) {
      const result = await runInProcess([command, ...args(pixels), '--threads', threads]);
      expectBadInput(result, `threads must be a whole number from 1 to ${most}`);
    }
  });
});

describe('samples', () => {
  const sample = (...args: string[]): Promise<CliResult> =>
    runInProcess(['sample', pixels, '--steps', '1', '--out', inFolder('out'), ...args]);

  it.each([
    [['--count', '1e12'], '--count must be a whole number from 1 to 10000000'],
    [['--count', '10000001', '--npz', 'out.npz'], '--count must be a whole number from 1 to 10000000'],
    [['--per-class', '1e12'], '--per-class must be a whole number from 1 to 3333333'],
    [['--per-class', '3333334', '--npz', 'out.npz'], '--per-class must be a whole number from 1 to 3333333'],
    [['--count', '1e7', '--batch', '1e7'], 'sampling with a batch of 10000000 needs about'],
    [
      ['--count', '1e7', '--npz', 'out.npz', '--batch', '1e7'],
      'sampling with a batch of 10000000 needs about',
    ],
  ])('%j are refused', async (args, message) => {
    const runs = args.includes('--npz') ? runInProcess(['sample', pixels, ...args]) : sample(...args);
    expectBadInput(await runs, message);
    expect(readdirSync(inFolder())).toEqual(['pixels']);
  });

  it('whose latents are kept have to fit too, all of them', () => {
    // Each has 4 blocks of 4 tokens of 4 float32, as noise, as latents and in the file.
    const most = machine().memory / (3 * 4 * 64);
    const sampled = { batch: 1, steps: 1, guided: false };
    requireSamplingMemory(tinyPixels, { ...sampled, kept: Math.floor(most / 2) });
    const more = { ...sampled, kept: Math.ceil(most) };
    expect(() => requireSamplingMemory(tinyPixels, more)).toThrow('but this process may use only');
  });

  it('may be asked for in batches larger than there are samples', async () => {
    expect(await sample('--labels', 'bag', '--batch', '1000000')).toMatchObject({ code: 0 });
  });

  it('are refused before the model is opened', async () => {
    rmSync(join(pixels, 'model.safetensors'));
    expectBadInput(await sample('--threads', '99999'), 'threads must be');
  });
});

describe('a model', () => {
  it.each([
    ['100,000', 100_000],
    ['as many as a number can say', Number.MAX_SAFE_INTEGER],
  ])('of %s layers is refused', async (_, layers) => {
    const path = join(pixels, 'config.json');
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), layers }));
    for (const command of ['sample', 'info']) {
      expectBadInput(await runInProcess([command, pixels]), `${layers} layers are more than the 1000`);
    }
  });
});

it('the needs of a huge batch are told without taking them', async () => {
  const { code, stdout } = await runInProcess(['info', pixels, '--batch', '1000000000', '--json']);
  expect(code).toBe(0);
  const { needs } = JSON.parse(stdout);
  expect(needs.memory.training.save.total).toBeGreaterThan(1e12);
});

describe('a server', () => {
  it('of a batch that does not fit in memory is refused', async () => {
    const result = await runInProcess(['serve', pixels, '--batch', '1000000000', '--port', '0']);
    expectBadInput(result, 'sampling with a batch of 1000000000 needs about');
  });
});

describe('training', () => {
  it('on a batch that does not fit in memory is refused', async () => {
    const data = await writePictureFolder(inFolder('images'), 4, 8);
    const recipe = {
      model: { layers: 2, hidden: 32, heads: 2, mlpRatio: 2, patch: 2, blocks: 4 },
      training: { steps: 1, batch: 1_000_000_000, schedule: 'constant' },
    };
    writeFileSync(inFolder('recipe.json'), JSON.stringify(recipe));
    const result = await runInProcess([
      ...[
        'train',
        inFolder('recipe.json'),
        '--data',
        data,
        '--data.imageSize',
        '8',
        '--out',
        inFolder('run'),
      ],
    ]);
    expectBadInput(result, 'training with a batch of 1000000000 needs about');
    expect(readdirSync(inFolder())).not.toContain('run');
  });
});

describe('running out of memory', () => {
  it.each([
    () => new ArrayBuffer(2 ** 52),
    () => new Float32Array(2 ** 50),
    () => 'x'.repeat(2 ** 29),
    () => {
      throw new Error('std::bad_alloc');
    },
  ])('is one line and exit code 2: %s', (allocate) => {
    let stderr = '';
    const terminal = {
      stdout: { write: () => {} },
      stderr: { write: (text: string) => (stderr += text) },
      signal: new AbortController().signal,
    };
    let code: number | undefined;
    try {
      allocate();
      expect.fail('there was memory for it');
    } catch (error) {
      code = reportFailure(error, false, terminal);
    }
    expect(stderr).toMatch(
      /^acdit: there is not enough memory for this \(.*\); use a smaller --batch or model.*\n$/,
    );
    expect(code).toBe(2);
  });
});
