// @module-tag slow

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { golden } from '../../test/support/golden.ts';
import { idxBytes } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyClassifier } from '../../test/support/tiny-classifier.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { saveClassifier } from '../checkpoints/classifier.ts';
import { loadModel, openModel } from '../checkpoints/load.ts';
import { saveModel } from '../checkpoints/save.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { openCpu } from '../runtime/node.ts';
import { parseRecipe } from '../training/recipe.ts';
import { silentReporter } from './reporter.ts';
import { trainModel } from './train.ts';
import { type TuneOptions, tuneModel } from './tune.ts';
import type { GuidanceTrial } from './tune-guidance.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

/** Solvers of models without a folder go to a cache in it. */
const shared = mkdtempSync(join(tmpdir(), 'acdit-test-'));
vi.stubEnv('XDG_CACHE_HOME', shared);
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(shared, { recursive: true, force: true });
});

type Settings = Omit<TuneOptions, 'model' | 'path' | 'device'>;
const QUICK: Settings = { steps: [3, 4], samples: 4, referenceSteps: 16 };

async function tune(path: string, settings: Settings = QUICK) {
  const model = await openModel(path);
  try {
    return await tuneModel({ model, path, device, ...settings });
  } finally {
    await model.archive.close();
  }
}

/** A model folder with formula weights. */
async function tinyFolder(config: AcditConfig = tinyPixels): Promise<string> {
  const folder = join(temporaryFolder(), 'model');
  await saveModel(folder, config, formulaWeights(config));
  return folder;
}

/** Trains a small model on bright squares whose place is their class. */
async function trainedFolder(): Promise<string> {
  const data = join(shared, 'data');
  mkdirSync(data);
  const [count, side] = [96, 8];
  const pixels = Uint8Array.from({ length: count * side ** 2 }, (_, i) => {
    const [image, y, x] = [Math.floor(i / side ** 2), Math.floor(i / side) % side, i % side];
    const left = image % 3;
    const top = Math.floor(image / 3) % 4;
    return x >= left && x < left + 5 && y >= top && y < top + 4 ? 255 - 4 * (image % 16) : 8;
  });
  writeFileSync(join(data, 'train-images-idx3-ubyte'), idxBytes([count, side, side], pixels));
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  writeFileSync(join(data, 'train-labels-idx1-ubyte'), idxBytes([count], labels));
  const out = join(shared, 'run');
  const recipe = parseRecipe({
    model: { layers: 2, hidden: 48, heads: 2, mlpRatio: 2, patch: 2, blocks: 4 },
    data: { path: data, imageSize: side, channels: 1, flip: false },
    training: { steps: 400, batch: 16, learningRate: 3e-3, ema: 0.98, lossWeighting: 'debiased', seed: 1 },
    output: { folder: out, checkpointEvery: 400, sampleEvery: 0 },
  });
  await trainModel({ recipe, device });
  return out;
}

describe('the held-out error at 8 steps', () => {
  const settings: Settings = { steps: [8], samples: 8, referenceSteps: 60 };
  let trained = '';
  beforeAll(async () => {
    trained = await trainedFolder();
  }, 120_000);

  it.each([
    ['of the latent model', () => golden('image-tiny.pt'), undefined],
    ['of the video model', () => golden('video-tiny.pt'), undefined],
    ['of a trained model', () => trained, undefined],
    ['of a trained model guided at some noise levels', () => trained, { scale: 2, interval: [-3.4, 1.9] }],
  ] as const)(
    '%s is at most 0.8 of that of DPM-Solver++ 2M',
    { timeout: 120_000 },
    async (_, path, guidance) => {
      const overwrite = true;
      const { solvers } = await tune(path(), {
        ...settings,
        overwrite,
        guidance: guidance as Guidance | undefined,
      });
      const [solver] = solvers;
      expect(solver.error).toBeLessThanOrEqual(0.8 * solver.secondOrderError);
      expect(solver.error).toBeGreaterThan(0);
    },
  );
});

describe('a tuning', () => {
  it.each([
    ['epsilon', {}],
    ['v', { prediction: 'v', noiseSchedule: 'cosine' }],
    ['sample', { prediction: 'sample', noiseShift: 2 }],
    ['flow', { prediction: 'flow' }],
    ['context noise', { contextNoise: 50 }],
  ] as const)('fits weights with the sum 1: %s', async (_, changes) => {
    const folder = await tinyFolder({ ...tinyPixels, ...changes });
    const result = await tune(folder);
    expect(result.file).toBe(join(folder, 'solver.json'));
    const { solvers } = JSON.parse(readFileSync(result.file, 'utf8'));
    expect(solvers.map(({ steps }: { steps: number }) => steps)).toEqual([3, 4]);
    for (const { blocks } of solvers) {
      expect(blocks).toHaveLength(tinyPixels.blocks);
      for (const { weights } of blocks) {
        for (const own of weights)
          expect(own.reduce((sum: number, w: number) => sum + w, 0)).toBeCloseTo(1, 9);
      }
    }
    const model = await openModel(folder);
    expect(await model.tunedSolver?.()).toMatchObject({ defaultSteps: 4 });
    await model.archive.close();
  });

  it('that is stopped anywhere and resumed leads to the same file', { timeout: 60_000 }, async () => {
    const [whole, parts] = [await tinyFolder(), await tinyFolder()];
    await tune(whole);
    let runs = 0;
    for (let finished = false; !finished; runs++) {
      const controller = new AbortController();
      let updates = 0;
      const stopAt = 40 + 37 * runs;
      const update = (): void => {
        if (++updates === stopAt) controller.abort(new Error('stopped'));
      };
      const progress = () => ({ update, finish() {} });
      const report = { say() {}, note() {}, warn() {}, emit() {}, progress };
      finished = await tune(parts, { ...QUICK, report, signal: controller.signal }).then(
        () => true,
        (error) => {
          expect(error).toBe(controller.signal.reason);
          return false;
        },
      );
    }
    expect(runs).toBeGreaterThan(2);
    const file = 'solver.json';
    expect(readFileSync(join(parts, file), 'utf8')).toBe(readFileSync(join(whole, file), 'utf8'));
    expect(readdirSync(parts).sort()).toEqual(readdirSync(whole).sort());
  });

  it('does not depend on the batch size, nor on the number of threads', async () => {
    const threads = openCpu({ threads: 2 });
    const runs: Partial<TuneOptions>[] = [{}, { batch: 3 }, { device: threads }];
    const texts: string[] = [];
    for (const changes of runs) {
      const folder = await tinyFolder();
      await tune(folder, { ...QUICK, ...changes });
      texts.push(readFileSync(join(folder, 'solver.json'), 'utf8'));
    }
    await threads.dispose();
    expect(new Set(texts).size).toBe(1);
  });

  it('of a model that is being tuned is refused', async () => {
    const folder = await tinyFolder();
    const first = tune(folder);
    await vi.waitFor(() => expect(readdirSync(folder).some((name) => name.endsWith('.lock'))).toBe(true));
    await expect(tune(folder)).rejects.toThrow(/is making it; wait until it has finished/);
    await first;
  });

  it('keeps the solver of an official checkpoint in the cache', async () => {
    const { file } = await tune(golden('image-tiny.pt'), { ...QUICK, overwrite: true });
    expect(file.startsWith(join(shared, 'acdit', 'solvers'))).toBe(true);
    expect(existsSync(golden('solver.json'))).toBe(false);
    const model = await openModel(golden('image-tiny.pt'));
    expect(await model.tunedSolver?.()).toMatchObject({ version: 1, defaultSteps: 4 });
    await model.archive.close();
  });

  it('replaces a solver only if it is asked to', async () => {
    const folder = await tinyFolder();
    await tune(folder);
    await expect(tune(folder)).rejects.toThrow(/solver\.json exists; give --overwrite to replace it$/);
    await tune(folder, { ...QUICK, steps: [2], overwrite: true });
    const { solvers } = JSON.parse(readFileSync(join(folder, 'solver.json'), 'utf8'));
    expect(solvers).toHaveLength(1);
  });

  it('says so if weights are NaN', async () => {
    const folder = join(temporaryFolder(), 'model');
    const weights = new Map(formulaWeights(tinyPixels));
    const [name, value] = [...weights].find(([key]) => key.includes('mlp'))!;
    weights.set(name, { ...value, data: value.data.map(() => Number.NaN) });
    await saveModel(folder, tinyPixels, weights);
    await expect(tune(folder)).rejects.toThrow(/weights of the model are NaN or infinite/);
  });

  it.each([
    ['steps', { steps: [1] }],
    ['steps', { steps: [9], referenceSteps: 16 }],
    ['defaultSteps', { steps: [3], defaultSteps: 4 }],
    ['samples', { samples: 1 }],
    ['referenceSteps', { referenceSteps: 1001 }],
    ['guidance.interval', { guidance: { scale: 2, interval: [2, -2] } }],
    ['guidance.scale', { guidance: { scale: -1 } }],
  ] as const)('names the wrong option: %s', async (field, settings) => {
    const folder = await tinyFolder();
    await expect(tune(folder, settings as Settings)).rejects.toMatchObject({ name: 'ArgumentError', field });
  });
});

/** A parsed solver.json that a test changes. */
interface Json {
  readonly solvers: readonly { blocks: { timesteps: number[]; weights: number[][] }[] }[];
}

describe('solver.json', () => {
  it.each<[string, (solver: Json) => unknown, RegExp]>([
    ['of another model', (s) => ({ ...s, model: '0123456789abcdef' }), /was made for another model/],
    ['of another version', (s) => ({ ...s, version: 2 }), /version: must be 1/],
    ['without solvers', (s) => ({ ...s, solvers: [] }), /not a tuned solver: solvers/],
    ['of other blocks', (s) => ({ ...s, solvers: [{ ...s.solvers[0], blocks: [] }] }), /steps for 0 blocks/],
    [
      'whose weights do not add up',
      (s) => {
        s.solvers[0].blocks[1].weights[2][0] += 0.5;
        return s;
      },
      /block 2 of the solver with 3 steps: has weights with the sum 1\.5/,
    ],
    [
      'with huge weights',
      (s) => {
        s.solvers[0].blocks[1].weights[2] = [1e300, -1e300, 1];
        return s;
      },
      /block 2 of the solver with 3 steps: has the weight 1e\+300 in step 3/,
    ],
    [
      'whose timesteps do not fall',
      (s) => {
        s.solvers[0].blocks[0].timesteps[2] = 999;
        return s;
      },
      /block 1 of the solver with 3 steps: timesteps must be whole numbers/,
    ],
    [
      'whose guidance is for other blocks',
      (s) => ({ ...s, guidance: { scale: [2, 3] } }),
      /guidance\.scale must be one number, or one for each of 4 blocks, got 2/,
    ],
    [
      'whose guidance guides no timestep',
      (s) => ({ ...s, guidance: { scale: 2, interval: [100, 101] } }),
      /guidance\.interval must contain/,
    ],
    ['whose default is missing', (s) => ({ ...s, defaultSteps: 9 }), /no solver with the 9 steps/],
  ])('%s is refused', async (_, change, message) => {
    const folder = await tinyFolder();
    const { file } = await tune(folder);
    writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')))));
    const model = await openModel(folder);
    await expect(model.tunedSolver?.()).rejects.toThrow(message);
    await model.archive.close();
  });

  it('of other weights does not keep the model from being loaded', async () => {
    const folder = await tinyFolder();
    const { file } = await tune(folder);
    expect((await loadModel(folder)).tuned?.defaultSteps).toBeDefined();
    const solver = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...solver, model: '0123456789abcdef' }));
    expect((await loadModel(folder)).tuned).toBeUndefined();
  });

  it('that is cut off or missing is reported', async () => {
    const folder = await tinyFolder();
    const model = await openModel(folder);
    await expect(model.tunedSolver?.()).rejects.toThrow(
      /there is no tuned solver for this model; make one with acdit tune/,
    );
    writeFileSync(join(folder, 'solver.json'), '{"version": 1, "mod');
    await expect(model.tunedSolver?.()).rejects.toThrow(/solver\.json: not valid JSON/);
    await model.archive.close();
  });
});

describe('guidance that is searched', () => {
  const classNames = tinyPixels.classNames ?? [];

  async function setUp() {
    const folder = await tinyFolder();
    const classifier = join(temporaryFolder(), 'classifier');
    await saveClassifier(classifier, tinyClassifier(classNames));
    const pixels = Uint8Array.from({ length: 64 * 64 }, (_, i) => (i * 37 + Math.floor(i / 64) * 11) % 256);
    const reference = join(temporaryFolder(), 't10k-images-idx3-ubyte');
    writeFileSync(reference, idxBytes([64, 8, 8], pixels));
    return { folder, search: { network: classifier, reference, searchSamples: 24 } };
  }

  it('is the one with the smallest distance, and is kept in the file', { timeout: 60_000 }, async () => {
    const { folder, search } = await setUp();
    const trials: GuidanceTrial[] = [];
    const emit = (event: object): void => {
      if ('kind' in event && event.kind === 'trial') trials.push(event as GuidanceTrial & { kind: string });
    };
    const report = { ...silentReporter, emit };
    const { guidance } = await tune(folder, { ...QUICK, search, report });
    expect(trials.length).toBeGreaterThan(6);
    expect(trials[0].guidance).toEqual({ scale: 1.5 });
    const floor = (trials[0].labelAccuracy ?? 0) - 0.02;
    const allowed = trials.filter(({ labelAccuracy }) => (labelAccuracy ?? 1) >= floor);
    const best = allowed.reduce((a, b) => (b.distance < a.distance ? b : a));
    expect(guidance).toEqual(best.guidance);
    const file = JSON.parse(readFileSync(join(folder, 'solver.json'), 'utf8'));
    expect(file).toMatchObject({ guidance, settings: { search: { samples: 24 } } });
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'solver.json']);
  });

  it('that is stopped and resumed is the same', { timeout: 60_000 }, async () => {
    const { folder, search } = await setUp();
    const controller = new AbortController();
    let trials = 0;
    const emit = (): void => {
      if (++trials === 3) controller.abort(new Error('stopped'));
    };
    const report = { ...silentReporter, emit };
    await expect(tune(folder, { ...QUICK, search, report, signal: controller.signal })).rejects.toThrow(
      'stopped',
    );
    const resumed: object[] = [];
    await tune(folder, {
      ...QUICK,
      search,
      report: { ...silentReporter, emit: (event) => void resumed.push(event) },
    });
    const other = await tinyFolder();
    const all: object[] = [];
    await tune(other, {
      ...QUICK,
      search,
      report: { ...silentReporter, emit: (event) => void all.push(event) },
    });
    expect(resumed).toEqual(all.slice(3));
    expect(readFileSync(join(folder, 'solver.json'), 'utf8')).toBe(
      readFileSync(join(other, 'solver.json'), 'utf8'),
    );
  });

  it('excludes guidance that is given', async () => {
    const { folder, search } = await setUp();
    await expect(tune(folder, { ...QUICK, search, cfg: 2 })).rejects.toMatchObject({ field: 'cfg' });
  });
});
