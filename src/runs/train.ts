/** @file Trains a model by a recipe: what `acdit train` does. */

import { resolve } from 'node:path';
import type { Dataset } from '../data/dataset.ts';
import { describeIgnoredFiles } from '../data/folder-files.ts';
import { openDataset } from '../data/open.ts';
import { requireAutoencoder } from '../decoding/decoder.ts';
import { exchangeTexts, onEach } from '../distributed/agree.ts';
import { requireAlike } from '../distributed/alike.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError, ConfigError } from '../errors.ts';
import { closingOnError } from '../io/byte-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { defined } from '../records.ts';
import type { Device } from '../runtime/device.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import type { BatchesStart } from '../training/noising.ts';
import { type Recipe, type RecipeDraft, recipeModel } from '../training/recipe.ts';
import { type RunStart, requireRunFolder } from '../training/run-folder.ts';
import type { ChangeableKey } from '../training/same-run.ts';
import { train } from '../training/trainer.ts';
import { workerBatches } from '../training/worker-batches.ts';
import { resolveBatch } from './batch-size.ts';
import { requireTrainingMemory } from './checks.ts';
import { dataFacts } from './data-facts.ts';
import { seenSamplesNote } from './held-out.ts';
import { autoencoderPath, modelPath } from './model-path.ts';
import { productSpeeds } from './product-speed.ts';
import { type ActiveContext, contextOf, type RunContext } from './reporter.ts';
import { openTrainingEvaluation } from './training-evaluation.ts';
import { TrainingObserver, type TrainingScoring, type TrainModelResult } from './training-observer.ts';
import { openTrainingValidation } from './training-validation.ts';

export type { TrainModelResult } from './training-observer.ts';

/** What to train, and on what. */
export interface TrainModelOptions extends RunContext, RunStart {
  /** See `parseRecipeDraft`. Its `training.initFrom` and `output.vae` may be names on the hub. */
  readonly recipe: RecipeDraft;
  /** Computes the gradients; the caller disposes of it. */
  readonly device: Device;
  /** Steps the weights (default: `device`). */
  readonly optimizerDevice?: Device | undefined;
  /** Keys of the recipe that may differ from those of the run that is resumed. */
  readonly allowChanges?: readonly ChangeableKey[] | undefined;
  /** The processes that train together, all with the same options. The first one alone reports and writes files. */
  readonly ranks?: Ranks | undefined;
  /** Logs besides those in the run's folder, of which the first rank's are used; they are closed at the end, however it comes. */
  readonly trackers?: readonly Tracker[] | undefined;
  /** The command line that the run's record keeps. */
  readonly command?: readonly string[] | undefined;
}

/**
 * Trains from the newest state in the recipe's folder, or from the beginning, with logs, sample grids and evaluations as the
 * recipe says. The folder's `run.json` records the recipe and each start. It emits the events `start`, `step`, `checkpoint`,
 * `samples`, `evaluation`, `validation`, `best`, and `done` or `interrupted`. Once the signal is aborted, it saves the state
 * and returns.
 * @throws {AcditError} if the data, the recipe or the folder is not valid, or the loss is no longer a number.
 */
export async function trainModel(options: TrainModelOptions): Promise<TrainModelResult> {
  try {
    return await trainTracked(options);
  } finally {
    for (const tracker of options.trackers ?? []) tracker.close();
  }
}

async function trainTracked(options: TrainModelOptions): Promise<TrainModelResult> {
  const { fresh = false, overwrite = false, device, ranks } = options;
  if (overwrite && !fresh) throw new ArgumentError('--overwrite only goes with --fresh');
  const context = contextOf(options);
  const start = { fresh, overwrite };
  const opened = await openTraining(options, context);
  const { made, dataset, evaluation, validation, data, macsPerSecond } = opened;
  const { recipe } = made;
  let corruptInWorker = 0;
  const started = { command: options.command, ranks: ranks?.communicator.size ?? 1, data };
  const observer = new TrainingObserver({
    ...made,
    dataset,
    evaluation,
    validation,
    started,
    macsPerSecond,
    trackers: options.trackers ?? [],
  });
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
      locateModel: (name) => locateInitialModel(name, recipe, context, ranks),
    });
    observer.close();
    return observer.reportEnd(step, await mostOf(ranks, dataset.corruptCount + corruptInWorker));
  } finally {
    observer.close();
    await evaluation?.dispose();
    await validation?.dispose();
    await dataset.close?.();
  }
}

/** Finds the model that a training begins with, and warns once if it knows samples that are held out. */
async function locateInitialModel(
  name: string,
  { data }: Recipe,
  context: ActiveContext,
  ranks: Ranks | undefined,
): Promise<string> {
  const path = await modelPath(name, context);
  const note = await seenSamplesNote(path, data);
  if (note !== undefined && isFirst(ranks)) context.report.warn(note);
  return path;
}

/** Opens what is trained, on all ranks, and checks that it is the same. */
async function openTraining(options: TrainModelOptions, context: ActiveContext) {
  const { fresh = false, overwrite, device, ranks, recipe: given } = options;
  const opened = await onEach(ranks, async () => {
    if (isFirst(ranks)) await requireRunFolder(given.output.folder, defined({ fresh, overwrite }));
    if (ranks) requireWorkForAll(given, ranks.communicator.size);
    const data = await openTrainingData(given, context);
    return { ...data, facts: await dataFacts(data.dataset) };
  });
  const { dataset, config, draft, facts } = opened;
  if (ranks) {
    const { model, data, training, output } = given;
    // All ranks take part in these norms; the rest of the output is the first one's.
    const normsEvery = output.gradientNorms ? output.logEvery : undefined;
    await requireAlike(ranks.communicator, {
      'the recipe': JSON.stringify({ model, data, training, normsEvery }),
      'the data': `${facts.samples} samples with the fingerprint ${facts.fingerprint}`,
    });
  }
  const { recipe, found } = await resolveBatch({
    ...{ draft, config, device, ranks, fresh },
    samples: dataset.size,
  });
  if (found !== undefined) context.report.say(found);
  const made = { recipe, config, device, ...context };
  const scoring = await onEach(ranks, async (): Promise<TrainingScoring> => {
    if (!device.separateMemory) {
      requireTrainingMemory(config, recipe.training.batch, recipe.training.activations);
    }
    return isFirst(ranks) ? openScoring(made) : {};
  });
  const macsPerSecond = await productSpeed(device, config, ranks);
  return { made, dataset, data: facts, macsPerSecond, ...scoring };
}

/** Milliseconds for which products are measured when a training starts. */
const MEASURED_MS = 100;

/** Measures the multiply-adds per second of the model's widest product: on several ranks at once, their sum. */
async function productSpeed(device: Device, config: AcditConfig, ranks: Ranks | undefined): Promise<number> {
  const [own] = await onEach(ranks, () => productSpeeds(device, ['fp32'], config, MEASURED_MS));
  const all = ranks ? (await exchangeTexts(ranks.communicator, String(own))).map(Number) : [own];
  return all.reduce((sum, speed) => sum + speed, 0);
}

/** Opens what the recipe scores the model by. */
async function openScoring(made: Parameters<typeof openTrainingEvaluation>[0]): Promise<TrainingScoring> {
  const { evaluation, validation } = made.recipe;
  const opened = evaluation && (await openTrainingEvaluation(made, evaluation));
  return closingOnError({ close: async () => opened?.dispose() }, async () => ({
    evaluation: opened,
    validation: validation && (await openTrainingValidation(made, validation)),
  }));
}

/** Whether this process reports and writes files. */
function isFirst(ranks: Ranks | undefined): boolean {
  return ranks === undefined || ranks.communicator.rank === 0;
}

/** @throws {ArgumentError} if some ranks would have nothing to do */
function requireWorkForAll({ training: { accumulate } }: RecipeDraft, size: number): void {
  if (size <= accumulate) return;
  throw new ArgumentError(
    `${size} processes were started, but a step has ${accumulate} micro-batches (training.accumulate), one for each; start at ` +
      `most ${accumulate}, or give more micro-batches with fewer samples (training.batch)`,
  );
}

/** The largest count of any rank: corrupt files that several met are counted once. */
async function mostOf(ranks: Ranks | undefined, count: number): Promise<number> {
  if (!ranks) return count;
  return Math.max(...(await exchangeTexts(ranks.communicator, String(count))).map(Number));
}

/** Opens the data, and checks everything that training would fail by hours later. */
export async function openTrainingData(
  given: RecipeDraft,
  context: ActiveContext,
): Promise<{ dataset: Dataset; config: AcditConfig; draft: RecipeDraft }> {
  const { warn } = context.report;
  const dataset = await openDataset({ ...given.data, warn });
  const config = recipeModel(given, dataset);
  if (dataset.ignoredFiles) {
    warn(describeIgnoredFiles(dataset.name, config.frames > 1 ? 'videos' : 'images', dataset.ignoredFiles));
  }
  let { vae } = given.output; // draws the sample grids
  if (vae) {
    if (config.space !== 'latents') {
      throw new ConfigError('recipe: output.vae draws latents, but the data is images; leave it out');
    }
    vae = await autoencoderPath(vae, context);
    await requireAutoencoder(config, vae);
  }
  return { dataset, config, draft: { ...given, output: { ...given.output, vae: vae && resolve(vae) } } };
}
