/** @file Reports a training to its caller, and logs it to files. */

import { join } from 'node:path';
import type { Dataset } from '../data/dataset.ts';
import { ConfigError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { formatDuration, formatRate } from '../io/quantities.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { trainingCost } from '../models/acdit/cost.ts';
import { parameterCount, type Weights } from '../models/acdit/weights.ts';
import { evaluationSeries, type SeriesKind } from '../training/evaluation-series.ts';
import { dropModelsAfter, keepBest, keepModel, pruneModels, readBest } from '../training/kept-models.ts';
import { combineTrackers, openTrackers } from '../training/logging/open.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import type { Recipe } from '../training/recipe.ts';
import { bestScore } from '../training/recipe-sections.ts';
import type { StepReport, TrainingHooks } from '../training/trainer.ts';
import type { Progress } from './reporter.ts';
import { type RunStartFacts, recordStart } from './run-record.ts';
import {
  describeScores,
  evaluationRecord,
  isEvaluated,
  type Scores,
  type TrainingEvaluation,
} from './training-evaluation.ts';
import { canDraw, logSamples, type TrainingSampleOptions } from './training-samples.ts';
import type { TrainingValidation } from './training-validation.ts';

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

/** What a training's model is scored by. */
export interface TrainingScoring {
  readonly evaluation?: TrainingEvaluation | undefined;
  readonly validation?: TrainingValidation | undefined;
}

/** A training with what it is made of. */
interface ObservedRun extends TrainingSampleOptions, TrainingScoring {
  readonly dataset: Dataset;
  /** Multiply-adds per second of the model's widest product, on all ranks together. */
  readonly macsPerSecond: number;
  /** Logs besides those in the run's folder, which the caller closes. */
  readonly trackers: readonly Tracker[];
  readonly started: Pick<RunStartFacts, 'command' | 'ranks' | 'data'>;
}

/** Reports a training and logs it to files. */
export class TrainingObserver {
  readonly #run: ObservedRun;
  readonly #started = performance.now();
  readonly #mean = meanOfLosses();
  /** Step of the last checkpoint. */
  #saved = 0;
  #tracker: Tracker | undefined;
  /** The logs in the run's folder. */
  #own: Tracker | undefined;
  #progress: Progress | undefined;
  /** Names that scores are logged under. */
  readonly #series = { evaluation: '', validation: '' };

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
      onCheckpoint: async (step) => {
        report.emit({ kind: 'checkpoint', step, model: folder });
        this.#saved = step;
        await this.#keep(step);
      },
      onSample: async (step, ema, weights) => {
        await this.#draw('ema', ema, step);
        if (recipe.output.sampleWeights === 'both') await this.#draw('raw', weights, step);
      },
      onEvaluate: (step, ema) => this.#evaluate(step, ema),
      onValidate: (step, weights, ema) => this.#validate(step, weights, ema),
    };
  }

  async #start(step: number): Promise<void> {
    const { recipe, config, dataset, report } = this.#run;
    const { output, training } = recipe;
    await this.#record(step);
    this.#own = openTrackers(output.folder, step);
    this.#tracker = combineTrackers([this.#own, ...this.#run.trackers]);
    await dropModelsAfter(output.folder, step);
    this.#saved = step;
    if (step > 0) await this.#keep(step);
    await this.#beginSeries('evaluation');
    await this.#beginSeries('validation');
    report.say(describeRun(recipe, config, dataset, step));
    if (output.sampleEvery > 0 && !canDraw(this.#run)) {
      report.say('no samples are drawn during training: latents need an autoencoder, given as output.vae');
    }
    const { ignoredFiles } = dataset;
    const parameters = parameterCount(config);
    report.emit({ kind: 'start', step, steps: training.steps, parameters, ignoredFiles });
    this.#progress = report.progress({ total: training.steps, start: step, label: 'train' });
  }

  /** Finds the name that scores are logged under, and reports why they are not comparable with earlier ones. */
  async #beginSeries(kind: SeriesKind): Promise<void> {
    const { recipe, report, [kind]: scored } = this.#run;
    if (!scored) return;
    const { name, change } = await evaluationSeries(recipe.output.folder, scored.settings, kind);
    this.#series[kind] = name;
    if (change === undefined) return;
    report.warn(
      `scores are logged as ${name}/..., as they are not comparable with the run's earlier ones: ${change}`,
    );
  }

  /** Records the start in the run's folder, and reports what it found there. */
  async #record(step: number): Promise<void> {
    const { recipe, device, started, report } = this.#run;
    const { folder } = recipe.output;
    const { name, threads } = device;
    const { isNew, otherData } = await recordStart(folder, {
      step,
      recipe,
      device: name,
      threads,
      ...started,
    });
    if (isNew) {
      report.say(`${folder} had no run.json, which now records its recipe, versions, data and command`);
    }
    if (!otherData) return;
    const { samples, fingerprint } = started.data;
    report.warn(
      `the data is not what ${folder} was last trained on: ${otherData.samples} samples (${printable(otherData.fingerprint)}) then, ` +
        `${samples} (${fingerprint}) now; their order depends on their number`,
    );
  }

  #step(done: StepReport): void {
    const { recipe, config, report } = this.#run;
    const mean = this.#mean;
    mean.add(done.loss);
    this.#progress?.update(done.step, {
      loss: mean.recent().toFixed(4),
      lr: formatRate(done.learningRate),
      [`${unitOf(config)}/s`]: done.samplesPerSecond.toPrecision(3),
    });
    if (done.step % recipe.output.logEvery !== 0) return;
    const { step, loss: _loss, ranks, gradientNorms = {}, ...rest } = done;
    const productShare = (trainingCost(config) * done.samplesPerSecond) / this.#run.macsPerSecond;
    const record = {
      loss: mean.take(),
      ...rest,
      productShare,
      ...evaluationRecord('gradientNorm', gradientNorms),
    };
    this.#tracker?.scalars(step, record);
    report.emit({ kind: 'step', step, ...record, ...(ranks && { ranks }) });
  }

  async #draw(kind: 'ema' | 'raw', weights: Weights, step: number): Promise<void> {
    const { report } = this.#run;
    if (!canDraw(this.#run) || !this.#tracker) return;
    const file = await logSamples(this.#run, weights, step, this.#tracker, kind === 'raw' ? '-raw' : '');
    report.say(`samples of step ${step}: ${file}`);
    report.emit({ kind: 'samples', step, file });
  }

  /** Keeps the model that was written last, and removes those that are not kept any more. */
  async #keep(step: number): Promise<void> {
    const { folder, keep = 0, best } = this.#run.recipe.output;
    if (keep > 0) await keepModel(folder, step);
    if (keep > 0 || best) await pruneModels(folder, { keep, best: best !== undefined, saved: this.#saved });
  }

  /** Keeps the model if it is the best by the recipe's score. */
  async #considerBest(kind: SeriesKind, scores: Scores, step: number, ema: Weights): Promise<void> {
    const { recipe, config, report } = this.#run;
    const { folder, keep = 0, best } = recipe.output;
    if (best === undefined) return;
    const wanted = bestScore(best);
    if (wanted.kind !== kind) return;
    const metric = `${this.#series[kind]}/${wanted.score}`;
    const value = scores[wanted.score];
    if (value === undefined) {
      throw new ConfigError(
        `recipe: output.best names ${wanted.score}, but the scores of ${kind} are ${Object.keys(scores).join(', ')}`,
      );
    }
    const before = await readBest(folder);
    const sign = wanted.mode === 'max' ? -1 : 1;
    const isBetter = before?.metric !== metric || sign * value < sign * before.value;
    if (!Number.isFinite(value) || !isBetter) return;
    const { model } = await keepBest(folder, config, ema, { metric, value, step }, this.#saved);
    await pruneModels(folder, { keep, best: true, saved: this.#saved });
    report.say(`best ${metric} so far: ${value.toPrecision(4)} at step ${step}`);
    report.emit({ kind: 'best', step, metric, value, model: join(folder, model) });
  }

  async #evaluate(step: number, ema: Weights): Promise<void> {
    const series = this.#series.evaluation;
    const { recipe, evaluation, report } = this.#run;
    // A run that resumes where it was saved may have done so before.
    if (!evaluation || isEvaluated(recipe.output.folder, series, step)) return;
    const scores = await evaluation.run(ema, (share) =>
      this.#progress?.update(step, { evaluated: `${Math.floor(100 * share)}%` }),
    );
    await this.#considerBest('evaluation', scores, step, ema);
    this.#tracker?.scalars(step, evaluationRecord(series, scores));
    report.say(`${series} of step ${step}: ${describeScores(scores)}`);
    report.emit({ kind: 'evaluation', series, step, ...scores });
  }

  async #validate(step: number, weights: Weights, ema: Weights): Promise<void> {
    const series = this.#series.validation;
    const { recipe, validation, report, signal } = this.#run;
    if (!validation || isEvaluated(recipe.output.folder, series, step)) return;
    const score = (values: Weights, from: number) =>
      validation.run(values, signal, (share) =>
        this.#progress?.update(step, { validated: `${Math.floor(100 * (from + share / 2))}%` }),
      );
    const scores = { ema: await score(ema, 0), raw: await score(weights, 0.5) };
    const named = { ...evaluationRecord('ema', scores.ema), ...evaluationRecord('raw', scores.raw) };
    await this.#considerBest('validation', named, step, ema);
    this.#tracker?.scalars(step, evaluationRecord(series, named));
    const [own, raw] = [scores.ema, scores.raw].map(({ loss }) => loss?.toPrecision(4));
    report.say(`${series} of step ${step}: loss ${own} with averaged weights, ${raw} with raw ones`);
    report.emit({ kind: 'validation', series, step, ...scores });
  }

  /** Closes the logs in the run's folder; a second time, nothing happens. */
  close(): void {
    this.#progress?.finish();
    this.#own?.close();
    [this.#progress, this.#own, this.#tracker] = [undefined, undefined, undefined];
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
  { name, size, classNames, heldOut }: Dataset,
  step: number,
): string {
  const millions = (parameterCount(config) / 1e6).toFixed(1);
  const held = heldOut === undefined ? '' : `, and ${heldOut} more held out`;
  const what = `${millions}M parameters, ${size} ${unitOf(config)} of ${classNames.length} classes from ${name}${held}`;
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
