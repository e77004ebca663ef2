/** @file `acdit train`: train a model by a recipe, or go on where it stopped. */

import type { Dataset } from '../data/dataset.ts';
import { describePassedOver } from '../data/folder-files.ts';
import { openDataset } from '../data/open.ts';
import { requireAutoencoder } from '../decoding/decoder.ts';
import { ArgumentError, ConfigError } from '../errors.ts';
import { formatDuration } from '../io/quantities.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameterCount } from '../models/acdit/weights.ts';
import { requireTrainingMemory } from '../runs/memory-check.ts';
import { autoencoderPath, modelPath } from '../runs/model-path.ts';
import type { Progress } from '../runs/reporter.ts';
import { openCpu } from '../runtime/node.ts';
import { evaluationSeries } from '../training/evaluation-series.ts';
import { openTrackers } from '../training/logging/open.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import type { BatchesStart } from '../training/noised-batches.ts';
import { type Recipe, recipeModel } from '../training/recipe.ts';
import { CHANGEABLE_KEYS } from '../training/recipe-changes.ts';
import { requireRunFolder } from '../training/run-folder.ts';
import { type StepReport, type TrainingHooks, train } from '../training/trainer.ts';
import { workerBatches } from '../training/worker-batches.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, deviceOptions, openDevice } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { RECIPE_KEY, readRecipe, recipeFlags } from './recipe-flags.ts';
import {
  describeScores,
  evaluationRecord,
  isEvaluated,
  openTrainingEvaluation,
  type TrainingEvaluation,
} from './training-evaluation.ts';
import { canDraw, logSamples, type TrainingSampleOptions } from './training-samples.ts';
import { choice, list } from './values.ts';

const trainFlags = {
  ...recipeFlags,
  fresh: { help: 'start at step 0 instead of resuming' },
  overwrite: { help: 'with --fresh: discard the run or the model in the folder' },
  'allow-change': {
    value: 'KEYS',
    parse: list(choice(CHANGEABLE_KEYS)),
    help: 'recipe keys that may differ when resuming, such as training.learningRate',
  },
  ...deviceFlags,
  quiet: { help: 'no progress' },
  json: { help: 'print events as JSON lines, without a progress bar' },
} as const satisfies Flags;

export const trainCommand = defineCommand({
  name: 'train',
  positionals: ['[RECIPE.json]'],
  summary:
    'Train a model. A run that was interrupted goes on where it stopped; Ctrl-C saves and stops. The path of the model\n' +
    '(its EMA weights) is printed last.',
  flags: trainFlags,
  freeForm: RECIPE_KEY,
  notes: 'Any key of a recipe is a flag too, such as --training.warmupSteps 100 or --data.flip true.',
  run: async ({ values, positionals, free }, context) => {
    const recipe = await readRecipe(positionals[0], values, free);
    return runTraining(recipe, values, context);
  },
});

type TrainValues = FlagValues<typeof trainFlags>;

async function runTraining(given: Recipe, values: TrainValues, context: CommandContext): Promise<undefined> {
  const { report, signal } = context;
  if (values.overwrite && !values.fresh) throw new ArgumentError('--overwrite only goes with --fresh');
  const start = { fresh: values.fresh, overwrite: values.overwrite };
  await requireRunFolder(given.output.folder, start);
  const device = await openDevice(values);
  const optimizerDevice = device.separateMemory ? openCpu(deviceOptions(values)) : device;
  const { warn } = report;
  const dataset = await openDataset({ ...given.data, warn });
  const config = recipeModel(given, dataset);
  if (dataset.passedOver) {
    warn(describePassedOver(dataset.name, config.frames > 1 ? 'videos' : 'images', dataset.passedOver));
  }
  if (!device.separateMemory) requireTrainingMemory(config, given.training.batch, given.training.activations);
  const vae = given.output.vae && (await trainingVae(config, given.output.vae, context));
  const recipe: Recipe = { ...given, output: { ...given.output, vae } };
  const options = { recipe, config, device, signal };
  const evaluation = recipe.evaluation && (await openTrainingEvaluation(options, recipe.evaluation));
  let corruptInWorker = 0;
  const corruptCount = (): number => dataset.corruptCount + corruptInWorker;
  const { hooks, close } = reportTo(context, { ...options, evaluation }, dataset, corruptCount);
  const batchesFrom = (start: BatchesStart) =>
    workerBatches(recipe, start, {
      onWarning: warn,
      onCorruptCount: (count) => {
        corruptInWorker = count;
      },
    });
  try {
    const locateModel = (name: string): Promise<string> => modelPath(name, context);
    const { step } = await train({
      ...options,
      optimizerDevice,
      ...(device.separateMemory && { batchesFrom }),
      dataset,
      ...start,
      allowChanges: values['allow-change'] ?? [],
      hooks,
      locateModel,
    });
    close(step);
  } catch (error) {
    close();
    throw error;
  } finally {
    await evaluation?.dispose();
    await dataset.close?.();
    await optimizerDevice.dispose();
    await device.dispose();
  }
  signal.throwIfAborted();
}

/** Before the training, not at its first grid hours later. */
async function trainingVae(config: AcditConfig, vae: string, context: CommandContext): Promise<string> {
  if (config.space !== 'latents') {
    throw new ConfigError('recipe: output.vae draws latents, but the data is images; leave it out');
  }
  const path = await autoencoderPath(vae, context);
  await requireAutoencoder(config, path);
  return path;
}

/** Hooks that log to files and tell the terminal; `close` says how it ended if it ended at a step. */
function reportTo(
  { report, signal }: CommandContext,
  options: TrainingSampleOptions & { readonly evaluation: TrainingEvaluation | undefined },
  dataset: Dataset,
  corruptCount: () => number,
): { hooks: TrainingHooks; close: (step?: number) => void } {
  const { recipe, config } = options;
  const { output, training } = recipe;
  const { say, warn, emit } = report;
  const mean = meanOfLosses();
  const unit = unitOf(config);
  const started = performance.now();
  let tracker: Tracker | undefined;
  let progress: Progress | undefined;
  let series = '';

  const hooks: TrainingHooks = {
    onWait: (owner) => say(`checking whether ${owner} still trains in ${output.folder}`),
    onWarning: warn,
    async onStart({ step }) {
      tracker = openTrackers(output.folder, step);
      if (options.evaluation) series = await seriesOf(options.evaluation, output.folder, warn);
      say(describeRun(recipe, config, dataset, step));
      if (output.sampleEvery > 0 && !canDraw(options)) {
        say('no samples are drawn on the way: latents need an autoencoder, which output.vae would name');
      }
      const { passedOver } = dataset;
      emit({ kind: 'start', step, steps: training.steps, parameters: parameterCount(config), passedOver });
      progress = report.progress({ total: training.steps, start: step, label: 'train' });
    },
    onStep(done) {
      mean.add(done.loss);
      progress?.update(done.step, progressFields(done, mean.recent(), unit));
      if (done.step % output.logEvery !== 0) return;
      const { step, loss: _loss, ...rest } = done;
      const record = { loss: mean.take(), ...rest };
      tracker?.scalars(step, record);
      emit({ kind: 'step', step, ...record });
    },
    onCheckpoint(step) {
      emit({ kind: 'checkpoint', step, model: output.folder });
    },
    async onSample(step, ema) {
      if (!canDraw(options)) return;
      const path = await logSamples(options, ema, step, tracker!);
      say(`samples of step ${step}: ${path}`);
      emit({ kind: 'samples', step, file: path });
    },
    async onEvaluate(step, ema) {
      // A run that resumes where it was saved may have done so before.
      if (!options.evaluation || isEvaluated(output.folder, series, step)) return;
      const scores = await options.evaluation.run(ema, (share) =>
        progress?.update(step, { evaluated: `${Math.floor(100 * share)}%` }),
      );
      tracker?.scalars(step, evaluationRecord(series, scores));
      say(`${series} of step ${step}: ${describeScores(scores)}`);
      emit({ kind: 'evaluation', series, step, ...scores });
    },
  };
  return {
    hooks,
    close(step) {
      progress?.finish();
      tracker?.close();
      if (step === undefined) return;
      const done = !signal.aborted;
      const corrupt = corruptCount();
      if (corrupt > 0) say(`${corrupt} corrupt ${unit} were skipped`);
      const time = formatDuration((performance.now() - started) / 1000);
      say(
        done
          ? `trained to step ${step} in ${time}`
          : step === 0
            ? 'stopped before the first step; nothing was saved'
            : `saved at step ${step}; the same command goes on from there`,
      );
      emit({ kind: done ? 'done' : 'interrupted', step, model: output.folder, corruptFiles: corrupt });
      report.print(output.folder);
    },
  };
}

/** The name that scores are logged under; a new one is explained. */
async function seriesOf(
  { settings }: TrainingEvaluation,
  folder: string,
  warn: (message: string) => void,
): Promise<string> {
  const { name, change } = await evaluationSeries(folder, settings);
  if (change !== undefined) {
    warn(
      `scores are logged as ${name}/..., as they are not comparable with the run's earlier ones: ${change}`,
    );
  }
  return name;
}

function describeRun(
  { training, output }: Recipe,
  config: AcditConfig,
  { name, size, classNames }: Dataset,
  step: number,
): string {
  const millions = (parameterCount(config) / 1e6).toFixed(1);
  const what = `${millions}M parameters, ${size} ${unitOf(config)} of ${classNames.length} classes from ${name}`;
  if (step >= training.steps) {
    return `${output.folder} is already trained to step ${step}; give more --steps to go on`;
  }
  return step === 0 ? `training ${what}` : `going on at step ${step}: ${what}`;
}

/** What samples are called. */
function unitOf({ frames }: AcditConfig): 'images' | 'clips' {
  return frames > 1 ? 'clips' : 'images';
}

function progressFields(report: StepReport, loss: number, unit: string): Record<string, string> {
  return {
    loss: loss.toFixed(4),
    lr: report.learningRate.toExponential(1),
    [`${unit}/s`]: report.samplesPerSecond.toPrecision(3),
  };
}

/** Weight of the newest loss in the mean that is shown; one loss alone jumps with its timesteps. */
const NEWEST = 0.05;

/** Means of the loss: since the last log line, and the recent one. */
function meanOfLosses() {
  let sum = 0;
  let count = 0;
  let recent: number | undefined;
  return {
    add(loss: number): void {
      sum += loss;
      count++;
      recent = recent === undefined ? loss : recent + NEWEST * (loss - recent);
    },
    recent: (): number => recent ?? Number.NaN,
    take(): number {
      const mean = sum / count;
      sum = 0;
      count = 0;
      return mean;
    },
  };
}
