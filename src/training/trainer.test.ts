import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { golden } from '../../test/support/golden.ts';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { loadModel } from '../checkpoints/load.ts';
import { saveModel } from '../checkpoints/save.ts';
import type { Dataset } from '../data/dataset.ts';
import { openDataset } from '../data/open.ts';
import { AcditError, ArgumentError, ConfigError, DatasetError, TrainingError } from '../errors.ts';
import { nestedTensors, openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { writeTorchCheckpoint } from '../formats/torch/writer.ts';
import { openFile } from '../io/file-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { openCpu } from '../runtime/node.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { TrainingPoint } from './checkpoint.ts';
import { parseRecipe, type Recipe, recipeModel } from './recipe.ts';
import { type StepReport, type TrainingHooks, train } from './trainer.ts';
import { freshWeights } from './training-loop.ts';

const device = openCpu();
afterAll(() => device.dispose());

interface Run {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly out: string;
  readonly states: () => string[];
}

/** Six steps of two micro-batches of two, with everything random that there is. */
async function setUp(training: object = {}, output: object = {}): Promise<Run> {
  const folder = temporaryFolder();
  const data = writeIdxDataset(join(folder, 'data'), { count: 7, side: 8, classes: 3 });
  const out = join(folder, 'run');
  const recipe = parseRecipe({
    model: { layers: 2, hidden: 24, heads: 3, patch: 2, blocks: 4, mlpRatio: 2 },
    data: { path: data, imageSize: 8, channels: 1, flip: true, crop: 1 },
    training: {
      steps: 6,
      batch: 2,
      accumulate: 2,
      warmupSteps: 2,
      ema: 0.9,
      weightDecay: 0.05,
      seed: 5,
      ...training,
    },
    output: { folder: out, checkpointEvery: 3, ...output },
  });
  const dataset = await openDataset({ path: data, channels: 1 });
  return { recipe, dataset, out, states: () => readdirSync(join(out, 'trainer')).sort() };
}

interface Changes {
  readonly training?: Partial<Recipe['training']>;
  readonly folder?: string;
  readonly dataset?: Dataset;
  readonly fresh?: boolean;
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
  readonly hooks?: TrainingHooks;
}

function start(
  { recipe, dataset }: Run,
  { training, folder, ...rest }: Changes = {},
): Promise<TrainingPoint> {
  const changed = {
    ...recipe,
    training: { ...recipe.training, ...training },
    output: { ...recipe.output, ...(folder && { folder }) },
  };
  const config = recipeModel(recipe, rest.dataset ?? dataset);
  return train({ recipe: changed, config, dataset, device, ...rest });
}

/** A dataset that calls `onRead` with the number of each read, counted from 1. */
function watched(dataset: Dataset, onRead: (count: number) => void): Dataset {
  let count = 0;
  return {
    ...dataset,
    read(index, generator) {
      onRead(++count);
      return dataset.read(index, generator);
    },
  };
}

describe('training', () => {
  it('evaluates at its steps, and again where an evaluation was interrupted', async () => {
    const run = await setUp({}, { checkpointEvery: 100 });
    const recipe = parseRecipe({ ...run.recipe, evaluation: { every: 2, network: 'any' } });
    const controller = new AbortController();
    const evaluated: number[] = [];
    const onEvaluate = async (step: number): Promise<void> => {
      evaluated.push(step);
      if (evaluated.length < 2) return;
      controller.abort();
      controller.signal.throwIfAborted();
    };
    const stopped = await start({ ...run, recipe }, { signal: controller.signal, hooks: { onEvaluate } });
    expect({ step: stopped.step, evaluated }).toEqual({ step: 4, evaluated: [2, 4] });
    expect(run.states()).toEqual(['step-00000004.safetensors']);
    const later: number[] = [];
    await start({ ...run, recipe }, { hooks: { onEvaluate: async (step) => void later.push(step) } });
    expect(later).toEqual([4, 6]);
  });

  it('resumes bit for bit where it stopped', { tags: ['slow'] }, async () => {
    const run = await setUp();
    const straight = await start(run, { folder: `${run.out}-straight` });
    expect(straight).toMatchObject({ step: 6, position: 24 });

    const reports: StepReport[] = [];
    const saved: number[] = [];
    const hooks: TrainingHooks = {
      onStep: (report) => void reports.push(report),
      onCheckpoint: (step) => void saved.push(step),
    };
    // Aborting after step 3, and in the middle of step 5.
    const first = new AbortController();
    const stopAfter3 = { ...hooks, onStep: (report: StepReport) => report.step === 3 && first.abort() };
    expect((await start(run, { signal: first.signal, hooks: stopAfter3 as TrainingHooks })).step).toBe(3);
    const second = new AbortController();
    const dataset = watched(run.dataset, (count) => count === 4 * 2 + 1 && second.abort());
    const stopped = await start(run, { signal: second.signal, dataset, hooks });
    expect(stopped.step).toBeLessThan(6);
    expect(run.states().at(-1)).toBe(`step-0000000${stopped.step}.safetensors`);
    expect(await start(run, { hooks })).toEqual(straight);
    expect(reports.map(({ step }) => step)).toEqual([4, 5, 6]);
    expect(saved[saved.length - 1]).toBe(6);

    // Nothing is left to do: the same state, read from its file.
    expect(await start(run)).toEqual(straight);
    const model = await loadModel(run.out);
    expect(model.weights).toEqual(straight.state.ema);
    expect(model.config).toEqual(recipeModel(run.recipe, run.dataset));
  });

  it('takes micro-batches of 1, computing activations again, and learns', async () => {
    const training = { batch: 1, accumulate: 1, steps: 40, learningRate: 3e-3, activations: 'recompute' };
    const losses: number[] = [];
    const hooks = { onStep: ({ loss }: StepReport) => void losses.push(loss) };
    await start(await setUp(training), { hooks });
    const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;
    expect(losses).toHaveLength(40);
    expect(losses[0]).toBeGreaterThan(0.7); // an untrained model predicts 0 of unit noise
    expect(mean(losses.slice(-10))).toBeLessThan(0.9 * mean(losses.slice(0, 10)));
  });

  it('begins with the weights of another model, which may have other blocks', async () => {
    const run = await setUp();
    const { state } = await start(run);
    const other = await setUp({ initFrom: run.out });
    const recipe = { ...other.recipe, model: { ...other.recipe.model, blocks: 1 } };
    const begun = new AbortController();
    const hooks: TrainingHooks = {
      onStart({ step, state: first }) {
        expect(step).toBe(0);
        expect(first.weights).toEqual(state.ema);
        expect(first.ema).toEqual(state.ema);
        begun.abort();
      },
    };
    await start({ ...other, recipe }, { hooks, signal: begun.signal });
    expect(begun.signal.aborted).toBe(true);

    const wider = { ...recipe, model: { ...recipe.model, hidden: 48 } };
    await expect(start({ ...other, recipe: wider, out: `${other.out}-wider` })).rejects.toThrow(
      /training\.initFrom .*does not fit the model: .*of shape \[24/,
    );
  });

  it('begins with the weights of a bare state dict, whose patch is that of the recipe', async () => {
    const official = golden('image-tiny.pt'); // written by PyTorch
    const { weights, config } = await loadModel(official);
    const initFrom = join(temporaryFolder(), 'bare.pt');
    const checkpoint = await openTorchCheckpoint(await openFile(official));
    const tensors = nestedTensors(checkpoint.value);
    const entries = new Map<string, Tensor>();
    for (const name of tensors.names) {
      if (name.startsWith('model.')) entries.set(name.slice('model.'.length), await tensors.read(name));
    }
    await checkpoint.close();
    await writeTorchCheckpoint(initFrom, { kind: 'ordered-dict', entries });

    const dataset: Dataset = {
      name: 'latents of noise',
      size: 4,
      sampleShape: [1, config.channels, config.height, config.width],
      classNames: Array.from({ length: config.classes }, (_, label) => `class ${label}`),
      corruptCount: 0,
      autoencoder: { fingerprint: '0123456789abcdef', scalingFactor: 0.18215, downsampling: 8 },
      read: async (index) => ({
        label: index,
        values: new Float32Array(config.channels * config.height * config.width),
      }),
    };
    const runOf = (model: object): Promise<TrainingPoint> => {
      const recipe = parseRecipe({
        model: {
          layers: config.layers,
          hidden: config.hidden,
          heads: config.heads,
          patch: 1,
          blocks: 1,
          ...model,
        },
        data: { path: 'none' },
        training: { steps: 1, batch: 2, initFrom },
        output: { folder: join(temporaryFolder(), 'run') },
      });
      const begun = new AbortController();
      const hooks: TrainingHooks = {
        onStart: ({ state }) => {
          expect(new Map([...state.weights].sort())).toEqual(new Map([...weights].sort()));
          begun.abort();
        },
      };
      return train({
        recipe,
        config: recipeModel(recipe, dataset),
        dataset,
        device,
        hooks,
        signal: begun.signal,
      });
    };
    await runOf({});
    await expect(runOf({ patch: 2 })).rejects.toThrow(/training\.initFrom .*bare\.pt does not fit the model/);
    await expect(runOf({ layers: 3 })).rejects.toThrow(
      /training\.initFrom .*bare\.pt does not fit the model/,
    );
    expect.assertions(3);
  });

  it('begins only with a model of the same autoencoder, or one that does not know its own', async () => {
    const pixels = await setUp();
    /** The same values, as if they were the latents of an autoencoder. */
    const latentsOf = (fingerprint: string, scalingFactor = 0.5): Dataset => ({
      ...pixels.dataset,
      autoencoder: { fingerprint, scalingFactor, downsampling: 8 },
    });
    const initFrom = temporaryFolder();
    const begin = async (dataset: Dataset): Promise<void> => {
      const begun = new AbortController();
      const hooks: TrainingHooks = { onStart: () => begun.abort() };
      const { signal } = begun;
      await start(pixels, { dataset, training: { initFrom }, folder: temporaryFolder(), hooks, signal });
    };
    const saveModelOf = async (config: AcditConfig): Promise<void> => {
      await saveModel(initFrom, config, freshWeights(config, 1));
    };

    const ofLatents = recipeModel(pixels.recipe, latentsOf('abc'));
    await saveModelOf(ofLatents);
    await begin(latentsOf('abc'));
    await expect(begin(latentsOf('def'))).rejects.toThrow(
      'does not fit the data: the model was trained on latents of the autoencoder abc with scaling factor 0.5, the data ' +
        "was encoded with def with scaling factor 0.5; encode the data with the model's autoencoder",
    );
    await expect(begin(latentsOf('abc', 0.25))).rejects.toThrow(ConfigError);
    await expect(begin(pixels.dataset)).rejects.toThrow(
      'the model was trained on latents, the data is pixels',
    );

    const { autoencoder: _, ...official } = ofLatents;
    await saveModelOf(official);
    await begin(latentsOf('def'));
    await saveModelOf(recipeModel(pixels.recipe, pixels.dataset));
    await expect(begin(latentsOf('abc'))).rejects.toThrow('trained on pixels, the data is latents');
  });

  it('resumes only with latents of the same autoencoder and scaling factor', async () => {
    const run = await setUp({ steps: 1, warmupSteps: 0 });
    const latents = (scalingFactor: number): Dataset => ({
      ...run.dataset,
      autoencoder: { fingerprint: 'abc', scalingFactor, downsampling: 8 },
    });
    await start(run, { dataset: latents(0.5) });
    await expect(start(run, { dataset: latents(0.25), training: { steps: 2 } })).rejects.toThrow(
      'was trained on latents of autoencoder abc with scaling factor 0.5, and the data is now of abc with scaling factor 0.25',
    );
  });

  it('draws new noise for every step and micro-batch', async () => {
    // An untrained model predicts 0, so each loss is the mean square of the noise that was drawn.
    const lossesOf = async (accumulate: number): Promise<number[]> => {
      const losses: number[] = [];
      const hooks = { onStep: ({ loss }: StepReport) => void losses.push(loss) };
      await start(await setUp({ accumulate, steps: 2, learningRate: 1e-12 }), { hooks });
      return losses;
    };
    const [one, two] = [await lossesOf(1), await lossesOf(2)];
    expect(new Set([...one, ...two].map((loss) => loss.toFixed(6))).size).toBe(4);
  });

  it('leaves everything as it was when aborted before the first step, and starts over when asked to', async () => {
    const run = await setUp({ accumulate: 1, steps: 2 });
    expect((await start(run, { signal: AbortSignal.abort() })).step).toBe(0);
    expect(readdirSync(run.out)).toEqual([]);
    const before = await start(run);
    const again = { fresh: true, overwrite: true };
    await expect(start(run, { fresh: true })).rejects.toThrow('already holds a run');
    expect((await start(run, { ...again, signal: AbortSignal.abort() })).step).toBe(0);
    expect(await start(run)).toEqual(before);
    const steps: number[] = [];
    const hooks = { onStep: ({ step }: StepReport) => void steps.push(step) };
    expect(await start(run, { ...again, hooks })).toEqual(before);
    expect(steps).toEqual([1, 2]);
  });

  it('stops at a loss that is NaN, naming the step and keeping the checkpoint', async () => {
    const run = await setUp({ accumulate: 1 }, { checkpointEvery: 2 });
    let reads = 0;
    const dataset: Dataset = {
      ...run.dataset,
      read: async () => ({ values: new Float32Array(64).fill(++reads > 6 ? Number.NaN : 0), label: 0 }),
    };
    const running = start(run, { dataset });
    await expect(running).rejects.toThrow(TrainingError);
    await expect(running).rejects.toThrow(/step 4: the loss is NaN/);
    expect(run.states()).toEqual(['step-00000002.safetensors']);
    expect(
      [...(await loadModel(run.out)).weights.values()].every(({ data }) => data.every(Number.isFinite)),
    ).toBe(true);
    expect((await start(run)).step).toBe(6);
  });

  it('passes on what goes wrong in a hook, after it has saved', async () => {
    const run = await setUp({ accumulate: 1 });
    const onSample = async (): Promise<void> => Promise.reject(new Error('no room'));
    const hooks = { onSample };
    const sampling = { ...run, recipe: { ...run.recipe, output: { ...run.recipe.output, sampleEvery: 4 } } };
    await expect(start(sampling, { hooks })).rejects.toThrow('no room');
    expect(run.states()).toEqual(['step-00000003.safetensors', 'step-00000004.safetensors']);
    expect(await start(run)).toEqual(await start(run, { folder: `${run.out}-straight` }));
  });

  it('says so if what went wrong kept it from saving too', async () => {
    const run = await setUp({ accumulate: 1 });
    const onStep = async ({ step }: StepReport): Promise<void> => {
      if (step < 5) return;
      // A file where the next state would go makes any user's write fail.
      mkdirSync(join(run.out, 'trainer', 'step-00000005.safetensors'));
      throw new AcditError('cannot write metrics.jsonl: the disk is full');
    };
    await expect(start(run, { hooks: { onStep } })).rejects.toThrow(
      /^cannot write metrics.jsonl: the disk is full; step 5 could not be saved either \(cannot write .*step-00000005.*\), and the run resumes after step 3$/,
    );
  });

  it('saves what was learned when the data cannot be read any more', async () => {
    const run = await setUp({ accumulate: 1 }, { checkpointEvery: 100 });
    const dataset = watched(run.dataset, (count) => {
      if (count > 8) throw new DatasetError('the disk of the data is gone');
    });
    await expect(start(run, { dataset })).rejects.toThrow('the disk of the data is gone');
    const saved = run.states();
    expect(saved).toHaveLength(1);
    expect(await start(run)).toEqual(await start(run, { folder: `${run.out}-straight` }));
  });

  it('has a folder of its own: one training at a time', async () => {
    const run = await setUp({ accumulate: 1 });
    let second: Promise<unknown> | undefined;
    const onStep = async (): Promise<void> => {
      second ??= start(run).catch((error) => error);
      await second;
    };
    const first = await start(run, { hooks: { onStep } });
    expect(await second).toMatchObject({
      name: 'ArgumentError',
      message: expect.stringContaining(`${run.out}: process ${process.pid} on this machine is writing to it`),
    });
    expect(first).toEqual(await start(run, { folder: `${run.out}-straight` }));
    expect(readdirSync(run.out).filter((name) => name.includes('lock'))).toEqual([]);
  });

  it('replaces no model of which it has no state', async () => {
    const run = await setUp({ accumulate: 1, steps: 2 });
    await start(run);
    rmSync(join(run.out, 'trainer'), { recursive: true });
    const before = readFileSync(join(run.out, 'model.safetensors'));
    const refused = start(run, { training: { steps: 3 } });
    await expect(refused).rejects.toThrow(ArgumentError);
    await expect(refused).rejects.toThrow(
      /holds model.safetensors but no training state.*--fresh --overwrite/,
    );
    mkdirSync(join(run.out, 'trainer'));
    await expect(start(run)).rejects.toThrow('no training state');
    expect(readFileSync(join(run.out, 'model.safetensors')).equals(before)).toBe(true);
    expect((await start(run, { fresh: true, overwrite: true })).step).toBe(2);
  });

  it('resumes what was stopped before its first checkpoint', async () => {
    const run = await setUp({ accumulate: 1, steps: 2 });
    mkdirSync(join(run.out, 'trainer'), { recursive: true });
    writeFileSync(join(run.out, 'metrics.jsonl'), '{"step":1,"time":1,"loss":1}\n');
    expect((await start(run)).step).toBe(2);
  });

  it('completes a last save that was killed after it had written the state', async () => {
    const run = await setUp();
    await start(run);
    const model = join(run.out, 'model.safetensors');
    const finished = readFileSync(model);
    const shorter = await setUp();
    await start(shorter, { training: { steps: 3 } });
    writeFileSync(model, readFileSync(join(shorter.out, 'model.safetensors')));
    const leftover = join(run.out, '.config.json.0123456789ab.tmp');
    const oldest = join(run.out, 'trainer', 'step-00000001.safetensors');
    writeFileSync(leftover, '{');
    writeFileSync(oldest, 'an older state');
    await start(run);
    expect(readFileSync(model)).toEqual(finished);
    expect(readdirSync(run.out)).not.toContain('.config.json.0123456789ab.tmp');
    expect(run.states()).toEqual(['step-00000003.safetensors', 'step-00000006.safetensors']);
  });

  it('begins again with the weights that it had', async () => {
    const run = await setUp({ accumulate: 1, steps: 2 });
    const { state } = await start(run);
    const hooks: TrainingHooks = { onStart: (point) => expect(point.state.weights).toEqual(state.ema) };
    await start(run, { training: { initFrom: run.out }, fresh: true, overwrite: true, hooks });
    expect.assertions(1);
  });
});
