/** @file Trains a model by a recipe: what `acdit train` does. */

import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Dataset, ImageDataset } from '../data/dataset.ts';
import { describeIgnoredFiles } from '../data/folder-files.ts';
import { openDataset } from '../data/open.ts';
import { requireAutoencoder } from '../decoding/decoder.ts';
import { agree, exchangeTexts } from '../distributed/agree.ts';
import { requireAlike } from '../distributed/alike.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError, ConfigError } from '../errors.ts';
import { formatDuration } from '../io/quantities.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameterCount } from '../models/acdit/weights.ts';
import { defined } from '../records.ts';
import type { Device } from '../runtime/device.ts';
import { evaluationSeries } from '../training/evaluation-series.ts';
import { openTrackers } from '../training/logging/open.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import type { BatchesStart } from '../training/noising.ts';
import { type Recipe, recipeModel } from '../training/recipe.ts';
import { type RunStart, requireRunFolder } from '../training/run-folder.ts';
import type { ChangeableKey } from '../training/same-run.ts';
import { type StepReport, type TrainingHooks, train } from '../training/trainer.ts';
import { workerBatches } from '../training/worker-batches.ts';
import { requireTrainingMemory } from './checks.ts';
import { autoencoderPath, modelPath } from './model-path.ts';
import { type ActiveContext, contextOf, type Progress, type RunContext } from './reporter.ts';
import {
  describeScores,
  evaluationRecord,
  isEvaluated,
  openTrainingEvaluation,
  type TrainingEvaluation,
} from './training-evaluation.ts';
import { canDraw, logSamples, type TrainingSampleOptions } from './training-samples.ts';

/** What to train, and on what. */
export interface TrainModelOptions extends RunContext, RunStart {
  /** See `parseRecipe`. Its `training.initFrom` and `output.vae` may be names on the hub. */
  readonly recipe: Recipe;
  /** Computes the gradients; the caller disposes of it. */
  readonly device: Device;
  /** Steps the weights (default: `device`). */
  readonly optimizerDevice?: Device | undefined;
  /** Keys of the recipe that may differ from those of the run that is resumed. */
  readonly allowChanges?: readonly ChangeableKey[] | undefined;
  /** The processes that train together, all with the same options. The first one alone reports and writes files. */
  readonly ranks?: Ranks | undefined;
}

/** A training that reached its last step, or was stopped. */
export interface TrainModelResult {
  /** Folder of the run, which is also that of the model. */
  readonly folder: string;
  /** Optimizer steps done. */
  readonly step: number;
  /** Whether the signal stopped it before the last step; the same options resume it. */
  readonly interrupted: boolean;
  /** Corrupt images or videos that were skipped. */
  readonly corruptFiles: number;
}

/**
 * Trains from the newest state in the recipe's folder, or from the beginning, with logs, sample grids and evaluations as the
 * recipe says. It emits the events `start`, `step`, `checkpoint`, `samples`, `evaluation`, and `done` or `interrupted`. Once
 * the signal is aborted, it saves the state and returns.
 * @throws {AcditError} if the data, the recipe or the folder is not valid, or the loss is no longer a number.
 */
export async function trainModel(options: TrainModelOptions): Promise<TrainModelResult> {
  const { fresh = false, overwrite = false, device, ranks } = options;
  if (overwrite && !fresh) throw new ArgumentError('--overwrite only goes with --fresh');
  const context = contextOf(options);
  const start = { fresh, overwrite };
  const opened = await openTraining(options, context);
  const { made, dataset, evaluation } = opened;
  const { recipe } = made;
  let corruptInWorker = 0;
  const observer = new TrainingObserver({ ...made, dataset, evaluation });
  const share = ranks && { rank: ranks.communicator.rank, size: ranks.communicator.size };
  const hooks = {
    onWarning: context.report.warn,
    onCorruptCount(count: number) {
      corruptInWorker = count;
    },
  };
  const batchesFrom = (from: BatchesStart) => workerBatches(recipe, from, hooks, share);
  try {
    const { step } = await train({
      ...made,
      optimizerDevice: options.optimizerDevice ?? device,
      ...(device.separateMemory && { batchesFrom }),
      ...(ranks && { ranks }),
      dataset,
      ...start,
      allowChanges: options.allowChanges ?? [],
      hooks: isFirst(ranks) ? observer.hooks : { onWarning: context.report.warn },
      locateModel: (name) => modelPath(name, context),
    });
    observer.close();
    return observer.reportEnd(step, await mostOf(ranks, dataset.corruptCount + corruptInWorker));
  } finally {
    observer.close();
    await evaluation?.dispose();
    await dataset.close?.();
  }
}

/** Opens what is trained, on all ranks, and checks that it is the same. */
async function openTraining(options: TrainModelOptions, context: ActiveContext) {
  const { fresh, overwrite, device, ranks, recipe: given } = options;
  const open = async () => {
    if (isFirst(ranks)) await requireRunFolder(given.output.folder, defined({ fresh, overwrite }));
    if (ranks) requireWorkForAll(given, ranks.communicator.size);
    const { dataset, config, recipe } = await openTrainingData(given, device, context);
    const made = { recipe, config, device, ...context };
    const evaluation =
      recipe.evaluation && isFirst(ranks) ? await openTrainingEvaluation(made, recipe.evaluation) : undefined;
    return { made, dataset, evaluation };
  };
  if (!ranks) return open();
  const opened = await agree(ranks.communicator, open);
  const { model, data, training } = given;
  await requireAlike(ranks.communicator, {
    'the recipe': JSON.stringify({ model, data, training }),
    'the data': await describeData(opened.dataset),
  });
  return opened;
}

/** Whether this process reports and writes files. */
function isFirst(ranks: Ranks | undefined): boolean {
  return ranks === undefined || ranks.communicator.rank === 0;
}

/** @throws {ArgumentError} if some ranks would have nothing to do */
function requireWorkForAll({ training: { accumulate } }: Recipe, size: number): void {
  if (size <= accumulate) return;
  throw new ArgumentError(
    `${size} processes were started, but a step has ${accumulate} micro-batches (training.accumulate), one for each; start at ` +
      `most ${accumulate}, or give more micro-batches with fewer samples (training.batch)`,
  );
}

/** Describes data so that other data has another description. */
async function describeData(dataset: Dataset & Partial<Pick<ImageDataset, 'fingerprint'>>): Promise<string> {
  const { size, sampleShape, classNames, autoencoder } = dataset;
  const fingerprint = await dataset.fingerprint?.();
  const text = JSON.stringify({ size, sampleShape, classNames, autoencoder, fingerprint });
  return `${size} samples with the fingerprint ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

/** The largest count of any rank: corrupt files that several met are counted once. */
async function mostOf(ranks: Ranks | undefined, count: number): Promise<number> {
  if (!ranks) return count;
  return Math.max(...(await exchangeTexts(ranks.communicator, String(count))).map(Number));
}

/** Opens the data, and checks everything that training would fail by hours later. */
async function openTrainingData(
  given: Recipe,
  device: Device,
  context: ActiveContext,
): Promise<{ dataset: Dataset; config: AcditConfig; recipe: Recipe }> {
  const { warn } = context.report;
  const dataset = await openDataset({ ...given.data, warn });
  const config = recipeModel(given, dataset);
  if (dataset.ignoredFiles) {
    warn(describeIgnoredFiles(dataset.name, config.frames > 1 ? 'videos' : 'images', dataset.ignoredFiles));
  }
  if (!device.separateMemory) {
    requireTrainingMemory(config, given.training.batch, given.training.activations);
  }
  let { vae } = given.output; // draws the sample grids
  if (vae) {
    if (config.space !== 'latents') {
      throw new ConfigError('recipe: output.vae draws latents, but the data is images; leave it out');
    }
    vae = await autoencoderPath(vae, context);
    await requireAutoencoder(config, vae);
  }
  return { dataset, config, recipe: { ...given, output: { ...given.output, vae: vae && resolve(vae) } } };
}

/** A training with what it is made of. */
interface ObservedRun extends TrainingSampleOptions {
  readonly dataset: Dataset;
  readonly evaluation: TrainingEvaluation | undefined;
}

/** Reports a training and logs it to files. */
class TrainingObserver {
  readonly #run: ObservedRun;
  readonly #started = performance.now();
  readonly #mean = meanOfLosses();
  #tracker: Tracker | undefined;
  #progress: Progress | undefined;
  /** Name that scores are logged under. */
  #series = '';

  constructor(run: ObservedRun) {
    this.#run = run;
  }

  get hooks(): TrainingHooks {
    const { report, recipe } = this.#run;
    const { folder } = recipe.output;
    return {
      onWait: (owner) => report.say(`checking whether ${owner} still trains in ${folder}`),
      onWarning: report.warn,
      onStart: ({ step }) => this.#start(step),
      onStep: (done) => this.#step(done),
      onCheckpoint: (step) => report.emit({ kind: 'checkpoint', step, model: folder }),
      onSample: async (step, ema) => {
        if (!canDraw(this.#run) || !this.#tracker) return;
        const file = await logSamples(this.#run, ema, step, this.#tracker);
        report.say(`samples of step ${step}: ${file}`);
        report.emit({ kind: 'samples', step, file });
      },
      onEvaluate: (step, ema) => this.#evaluate(step, ema),
    };
  }

  async #start(step: number): Promise<void> {
    const { recipe, config, dataset, evaluation, report } = this.#run;
    const { output, training } = recipe;
    this.#tracker = openTrackers(output.folder, step);
    if (evaluation) {
      const { name, change } = await evaluationSeries(output.folder, evaluation.settings);
      this.#series = name;
      if (change !== undefined) {
        report.warn(
          `scores are logged as ${name}/..., as they are not comparable with the run's earlier ones: ${change}`,
        );
      }
    }
    report.say(describeRun(recipe, config, dataset, step));
    if (output.sampleEvery > 0 && !canDraw(this.#run)) {
      report.say('no samples are drawn during training: latents need an autoencoder, given as output.vae');
    }
    const { ignoredFiles } = dataset;
    const parameters = parameterCount(config);
    report.emit({ kind: 'start', step, steps: training.steps, parameters, ignoredFiles });
    this.#progress = report.progress({ total: training.steps, start: step, label: 'train' });
  }

  #step(done: StepReport): void {
    const { recipe, config, report } = this.#run;
    const mean = this.#mean;
    mean.add(done.loss);
    this.#progress?.update(done.step, {
      loss: mean.recent().toFixed(4),
      lr: done.learningRate.toExponential(1),
      [`${unitOf(config)}/s`]: done.samplesPerSecond.toPrecision(3),
    });
    if (done.step % recipe.output.logEvery !== 0) return;
    const { step, loss: _loss, ranks, ...rest } = done;
    const record = { loss: mean.take(), ...rest };
    this.#tracker?.scalars(step, record);
    report.emit({ kind: 'step', step, ...record, ...(ranks && { ranks }) });
  }

  async #evaluate(step: number, ema: Parameters<TrainingEvaluation['run']>[0]): Promise<void> {
    const series = this.#series;
    const { recipe, evaluation, report } = this.#run;
    // A run that resumes where it was saved may have done so before.
    if (!evaluation || isEvaluated(recipe.output.folder, series, step)) return;
    const scores = await evaluation.run(ema, (share) =>
      this.#progress?.update(step, { evaluated: `${Math.floor(100 * share)}%` }),
    );
    this.#tracker?.scalars(step, evaluationRecord(series, scores));
    report.say(`${series} of step ${step}: ${describeScores(scores)}`);
    report.emit({ kind: 'evaluation', series, step, ...scores });
  }

  /** Closes the logs; a second time, nothing happens. */
  close(): void {
    this.#progress?.finish();
    this.#tracker?.close();
    [this.#progress, this.#tracker] = [undefined, undefined];
  }

  /** Reports how the training ended. */
  reportEnd(step: number, corruptFiles: number): TrainModelResult {
    const { recipe, config, report, signal } = this.#run;
    const { folder } = recipe.output;
    const interrupted = signal.aborted;
    if (corruptFiles > 0) report.say(`${corruptFiles} corrupt ${unitOf(config)} were skipped`);
    const time = formatDuration((performance.now() - this.#started) / 1000);
    report.say(
      !interrupted
        ? `trained to step ${step} in ${time}`
        : step === 0
          ? 'stopped before the first step; nothing was saved'
          : `saved at step ${step}; the same command resumes from there`,
    );
    report.emit({ kind: interrupted ? 'interrupted' : 'done', step, model: folder, corruptFiles });
    return { folder, step, interrupted, corruptFiles };
  }
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
    return `${output.folder} is already trained to step ${step}; to train further, give more --steps`;
  }
  return step === 0 ? `training ${what}` : `resuming at step ${step}: ${what}`;
}

/** What samples are called. */
function unitOf({ frames }: AcditConfig): 'images' | 'clips' {
  return frames > 1 ? 'clips' : 'images';
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
