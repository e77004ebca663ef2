import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { DEFAULT_MODELS } from '../../src/checkpoints/bundled-names.ts';
import { saveModel, storedAs } from '../../src/checkpoints/save.ts';
import { readImage } from '../../src/media/image.ts';
import { expectBadInput, runInProcess, spawnCli } from '../support/cli.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { golden } from '../support/golden.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

/** Parameters of the official code's models. */
const OFFICIAL = {
  image: { B: 130_305_028, L: 457_851_908, XL: 674_856_708, H: 950_959_620 },
  video: { B: 129_633_040, L: 456_955_920, XL: 673_848_720, H: 949_839_632 },
} as const;

/** Peak memory of processes, in GB: `acdit sample` of models with formula weights, guidance 1.5. */
const MEASURED_SAMPLING: readonly (readonly [args: string[], gigabytes: number])[] = [
  [['models/fashion-mnist', '--batch', '1', '--steps', '2'], 0.211],
  [['models/fashion-mnist', '--batch', '16', '--steps', '2'], 0.241],
  [['--size', 'B', '--steps', '2'], 0.827],
  [['--size', 'B', '--batch', '8', '--steps', '1'], 1.996],
  [['--size', 'XL', '--steps', '2'], 3.33],
  [['--size', 'H', '--steps', '1'], 4.61],
];

/** The same of clips, guidance 2.5: ACDiT-B with its own 4 blocks, and with 7 over a window. */
const MEASURED_CLIP = { trained: 1.22, sliding: 2.04 } as const;

/** And of bench/train.ts. */
const MEASURED_TRAINING = [
  ['B', 'save', 4.7],
  ['XL', 'recompute', 14.7],
] as const;

const json = async (...args: string[]) => {
  const { code, stdout } = await runInProcess(['info', ...args, '--json']);
  expect(code).toBe(0);
  return JSON.parse(stdout);
};

describe('acdit info', () => {
  it('describes a model folder', async () => {
    const model = await saveTiny(join(temporaryFolder(), 'model'), tinyPixels);
    const { code, stdout, stderr } = await spawnCli(['info', model, '--plan']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of ['8 x 8 pixels', 'T-shirt/top', 'float32', '4 of 4 tokens', 'modulation (adaLN)']) {
      expect(stdout).toContain(text);
    }
    expect(stdout).toContain('3 clean and 4 noised blocks of 4 tokens');
  });

  it('says what would run, and how fast its multiply-adds are', async () => {
    const { speed, needs } = await json(golden('image-tiny.pt'), '--threads', '1', '--steps', '7');
    expect(speed).toMatchObject({ device: 'cpu', threads: 1, precision: 'fp32' });
    expect(speed.memory).toBe(needs.memory.sampling.total);
    const { fp32, precision } = speed.macsPerSecond;
    expect(fp32).toBe(precision);
    for (const part of ['firstBlockStep', 'lastBlockStep', 'sample']) {
      for (const kind of ['plain', 'guided']) {
        expect(speed.seconds[part][kind]).toBeCloseTo(needs.macs[part][kind] / fp32, 10);
      }
    }
  });

  it.each([
    [[], DEFAULT_MODELS.image],
    [['--video'], DEFAULT_MODELS.video],
  ])('describes a default model if none is named: %j', async (args, name) => {
    const { code, stdout } = await runInProcess(['info', ...args]);
    expect(code).toBe(0);
    expect(stdout.split('\n')[0]).toBe(join('models', name));
  });

  it('counts the passes of the preset fast, also of a model that is named', async () => {
    const { needs, speed } = await json('fashion-mnist');
    const { solvers, defaultSteps } = JSON.parse(readFileSync('models/fashion-mnist/solver.json', 'utf8'));
    const { passes } = solvers.find(({ steps }: { steps: number }) => steps === defaultSteps);
    expect(needs.fast.passes.reduce((sum: number, count: number) => sum + count) / 4).toBe(passes);
    expect(needs.fast.macs).toBeLessThan(needs.macs.sample.own / 5);
    expect(speed.seconds.fast).toBeCloseTo(needs.fast.macs / speed.macsPerSecond.fp32, 10);
  });

  it('leaves nothing in the home folder', async () => {
    const home = temporaryFolder();
    vi.stubEnv('HOME', home);
    vi.stubEnv('ORT_DISABLE_TELEMETRY', undefined);
    const { code } = await spawnCli(['info', golden('image-tiny.pt')]).finally(() => vi.unstubAllEnvs());
    expect(code).toBe(0);
    expect(readdirSync(home)).toEqual([]);
  });

  it('counts the layers of a model in 8 bits at their own speed', async () => {
    const model = join(temporaryFolder(), 'model');
    await saveModel(model, tinyPixels, storedAs(formulaWeights(tinyPixels), 'int8'));
    const { speed, needs } = await json(model);
    expect(speed).toMatchObject({ precision: 'int8', memory: needs.memory.int8.total });
    const { fp32, precision } = speed.macsPerSecond;
    const { hidden, layers, blockSize, blocks } = tinyPixels;
    // Each token passes 8 C^2 weights in a layer. 25 steps of 2 branches in each block.
    const inLayers = 50 * blocks * blockSize * layers * 8 * hidden ** 2;
    const expected = (needs.macs.sample.guided - inLayers) / fp32 + inLayers / precision;
    expect(speed.seconds.sample.guided).toBeCloseTo(expected, 10);
    const { stdout } = await runInProcess(['info', model]);
    expect(stdout).toContain('on this machine it runs in int8 on cpu');
    expect(stdout).toContain('if it passes the check when it is loaded');
    expect((await json(model, '--precision', 'fp32')).speed.precision).toBe('fp32');
  });

  it.each([
    [['--precision', 'fp16'], '--precision fp16 is not available on cpu, which computes in fp32 or int8'],
    [['--device', 'cuda', '--precision', 'int8'], 'int8 is not available on cuda'],
    [['--device', 'cuda'], 'device cuda is not available'],
  ])('refuses %j in one line', async (args, message) => {
    expectBadInput(await runInProcess(['info', golden('image-tiny.pt'), ...args]), message);
  });

  it('describes an official checkpoint', async () => {
    const summary = await json(golden('video-tiny.pt'));
    expect(summary.config).toMatchObject({ layers: 2, hidden: 128, frames: 4, blocks: 2, classes: 7 });
    expect(summary.dtypes).toEqual(['float32']);
  });

  it.each(['image', 'video'] as const)(
    'counts the parameters of the %s models as the official code',
    async (kind) => {
      for (const [size, expected] of Object.entries(OFFICIAL[kind])) {
        const summary = await json('--size', size, ...(kind === 'video' ? ['--video'] : []));
        expect(summary.parameters).toBe(expected);
        const parts: number[] = Object.values(summary.parametersByPart);
        expect(parts.reduce((a, b) => a + b)).toBe(expected);
      }
    },
  );

  it('tells what a model needs, for a batch size and steps', async () => {
    const one = await json('--size', 'XL');
    expect(one.needs.macs.sequence / 1e9).toBeCloseTo(524.5, 1); // counted from the official code
    expect(one.needs.macs.sample.plain / 1e12).toBeCloseTo(12.86, 1);
    expect(one.needs.macs.lastBlockStep.guided).toBe(2 * one.needs.macs.lastBlockStep.plain);
    const eight = await json('--size', 'XL', '--batch', '8', '--steps', '50');
    const { sampling, training } = eight.needs.memory;
    expect(sampling.weights).toBe(one.needs.memory.sampling.weights);
    expect(sampling.cache).toBe(8 * one.needs.memory.sampling.cache);
    expect(training.save.activations / one.needs.memory.training.save.activations).toBeCloseTo(8, 5);
    expect(training.recompute.total).toBeLessThan(training.save.total);
    expect(eight.needs.macs.sample.plain / one.needs.macs.sample.plain).toBeCloseTo(2, 1);
    const { stdout } = await runInProcess(['info', '--size', 'XL']);
    expect(stdout).toMatch(/all tokens in one pass +524\.\d G +1\.049 T/);
    expect(stdout).toMatch(/memory for 1 at a time/);
  });

  it('counts the keys before rotation of a cache that slides', async () => {
    const { memory } = (await json('--size', 'B', '--video')).needs;
    // Three blocks before one joins, four with it, three when one has left; two and three at the trained length.
    expect(memory.sliding.cache / memory.sampling.cache).toBeCloseTo((3 * 10) / (2 * 5), 10);
    expect(memory.sliding.activations).toBe(memory.sampling.activations);
    expect((await json('--size', 'B')).needs.memory.sliding).toBeUndefined();
    const { stdout } = await runInProcess(['info', '--size', 'B', '--video']);
    expect(stdout).toMatch(/to continue over a window +\d\.\d\d GB/);
  });

  it('estimates the memory that was measured', async () => {
    for (const [args, measured] of MEASURED_SAMPLING) {
      const { needs } = await json(...args);
      expect(Math.abs(needs.memory.sampling.total / 1e9 / measured - 1), args.join(' ')).toBeLessThan(0.15);
    }
    const { sampling, sliding } = (await json('--size', 'B', '--video', '--steps', '1')).needs.memory;
    expect(Math.abs(sampling.total / 1e9 / MEASURED_CLIP.trained - 1)).toBeLessThan(0.15);
    expect(Math.abs(sliding.total / 1e9 / MEASURED_CLIP.sliding - 1)).toBeLessThan(0.15);
    for (const [size, activations, measured] of MEASURED_TRAINING) {
      const { needs } = await json('--size', size);
      const { total } = needs.memory.training[activations];
      expect(Math.abs(total / 1e9 / measured - 1), size).toBeLessThan(0.15);
    }
  });

  it('draws the skip-causal mask as text', async () => {
    const { stdout } = await runInProcess(['info', '--size', 'B', '--plan']);
    const rows = stdout.split('\n').filter((line) => /^ *(clean|noised) \d/.test(line));
    expect(rows.map((row) => row.trim().replace(/\s+/g, ' '))).toEqual([
      'clean 0 # . . . . . .',
      'clean 1 # # . . . . .',
      'clean 2 # # # . . . .',
      'noised 0 . . . # . . .',
      'noised 1 # . . . # . .',
      'noised 2 # # . . . # .',
      'noised 3 # # # . . . #',
    ]);
    expect(stdout).toContain('100.0% of them needed');
  });

  it.each([
    ['full', 'full', 0, 16],
    ['block-causal', 'block-causal', 0, 10],
    ['skip-causal', 'skip-causal', 3, 6 + 10],
    ['{"window": 1}', 'window of the last block', 3, 5 + 7],
    ['{"window":1,"sinks":1}', 'window of the last block and first block', 3, 6 + 9],
  ])('plans %s attention', async (rule, predicate, clean, pairs) => {
    const { plan } = await json('--size', 'B', '--predicate', rule);
    expect(plan).toMatchObject({ predicate, blocks: 4 + clean, clean, needed: pairs * 256 ** 2 });
  });

  it.each([
    ['scam', "--predicate must be skip-causal, block-causal, full, .*, got 'scam'"],
    ['block-casual', 'did you mean block-causal.'],
    ['{"window": 0}', '--predicate must have a window of 1 block or more, got 0'],
    ['{"windows": 1}', "--predicate has the unknown key 'windows'"],
  ])('refuses the predicate %s', async (rule, message) => {
    expectBadInput(await runInProcess(['info', '--size', 'B', '--predicate', rule]), new RegExp(message));
  });

  it('draws the plan into SVG and PNG files', async () => {
    const folder = temporaryFolder();
    const [svg, png] = [join(folder, 'new', 'plan.svg'), join(folder, 'plan.png')];
    const { code, stdout } = await runInProcess(['info', '--size', 'B', '--svg', svg, '--png', png]);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n').slice(-2)).toEqual([svg, png]);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg [\s\S]*attention plan skip-causal[\s\S]*<\/svg>\n$/);
    const image = await readImage(png);
    expect(image.width).toBeGreaterThan(700);
    // Queries of the last clean block attend the first: blue at a known place; the clean ones no noised key: grey.
    const pixels = image.height / Number(/height="(\d+)"/.exec(readFileSync(svg, 'utf8'))?.[1]);
    const colorAt = (x: number, y: number): number[] => {
      const at = (Math.round((124 + y) * pixels) * image.width + Math.round((64 + x) * pixels)) * 3;
      return [...image.data.subarray(at, at + 3)];
    };
    expect(colorAt(27, 137)).toEqual([0x2f, 0x6d, 0xb3]);
    expect(colorAt(360, 27)).toEqual([0xed, 0xf0, 0xf3]);
  });

  it('overwrites no model that follows a drawing flag without a value', async () => {
    const model = join(temporaryFolder(), 'model.pt');
    for (const flag of ['--svg', '--png']) {
      copyFileSync(golden('image-tiny.pt'), model);
      const { code, stderr } = await runInProcess(['info', flag, model]);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: `acdit: ${flag} names a file to write, which must end in .${flag.slice(2)}, got '${model}'\n`,
      });
      expect(readFileSync(model).equals(readFileSync(golden('image-tiny.pt')))).toBe(true);
    }
  });

  it.each([
    [['no-such-model'], 'no such model'],
    [['--size', 'XXL'], 'did you mean XL?'],
    [['some', '--size', 'B'], 'not both'],
    [['some', '--video'], `--video without --size stands for ${DEFAULT_MODELS.video}`],
    [['--size', 'B', '--predicate', 'fuul'], 'did you mean full?'],
    [['--size', 'B', '--plan', '--window', '2'], 'unknown flag --window'],
    [['--size', 'B', '--batch', '0'], '--batch must be'],
    [['--size', 'B', '--png', 'plan.svg'], "which must end in .png, got 'plan.svg'"],
  ])('%j is bad input', async (args, message) => {
    const { code, stderr } = await runInProcess(['info', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});
