/** @file The training loop: batch, noise, gradients, optimizer step, and now and then a checkpoint. It knows no files. */

import { float32At } from '../at.ts';
import { messageOf } from '../attempt.ts';
import type { Dataset } from '../data/dataset.ts';
import { AcditError, ConfigError, TrainingError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { type AcditConfig, describeOrigin, sameOrigin } from '../models/acdit/config.ts';
import { initializeWeights, type Weights } from '../models/acdit/weights.ts';
import { defined } from '../records.ts';
import type { Device } from '../runtime/device.ts';
import { Generator } from '../tensor/generator.ts';
import type { TrainingPoint } from './checkpoint.ts';
import { compileGradientPass } from './compile-gradient-pass.ts';
import { gradientSquares, isLogged } from './gradient-norms.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import { type BatchesStart, type NoisedBatchesOptions, noisedBatches } from './noising.ts';
import { compileOptimizer, zerosLike } from './optimizer.ts';
import { stepSettings } from './step-settings.ts';
import type { RankReport, Stepper, StepperParts, Team } from './team.ts';

/** Key of the weights among the streams of random numbers that are derived from the seed. */
const WEIGHTS_STREAM = 1;

/** The result of an optimizer step. */
export interface StepReport {
  /** Optimizer steps done, this one included. */
  readonly step: number;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Norms of the gradient by group of weights, if the recipe logs them after this step. */
  readonly gradientNorms?: Readonly<Record<string, number>>;
  readonly samplesPerSecond: number;
  /** What each rank did, if there are several. */
  readonly ranks?: readonly RankReport[];
}

/** Called during training. */
export interface TrainingHooks {
  /**
   * Called if it is unknown whether another process, which is named, still trains in the folder; this one waits to find
   * out.
   */
  onWait?(owner: string): void;
  /** Called if something is wrong but training continues, such as a damaged state with an older one to resume from. */
  onWarning?(message: string): void;
  /** Called before the first step with the point where the training begins or resumes; the first step waits for it. */
  onStart?(point: TrainingPoint): void | Promise<void>;
  /** Called after each step; the next one waits for it. */
  onStep?(report: StepReport): void | Promise<void>;
  /** Called when a checkpoint is written; training waits for it. */
  onCheckpoint?(step: number): void | Promise<void>;
  /** Called every `sampleEvery` steps with the EMA weights, and the weights themselves. */
  onSample?(step: number, ema: Weights, weights: Weights): Promise<void>;
  /**
   * Called every `evaluation.every` steps with the EMA weights. Also if a run resumes at such a step, whose evaluation may
   * have been interrupted.
   */
  onEvaluate?(step: number, ema: Weights): Promise<void>;
  /**
   * Called every `validation.every` steps and after the last one, with the weights and their moving average; also if a run
   * resumes at such a step.
   */
  onValidate?(step: number, weights: Weights, ema: Weights): Promise<void>;
}

/** What is trained, on what, and from which point. */
export interface LoopOptions
  extends Omit<NoisedBatchesOptions, 'start'>,
    Pick<StepperParts, 'learningRateAt'> {
  readonly device: Device;
  /**
   * Where the weights are stepped; by default where gradients are computed. The optimizer's moments stay there.
   */
  readonly optimizerDevice?: Device;
  /** Makes the batches after a point of the training; by default `noisedBatches` of the dataset. */
  readonly batchesFrom?: (start: BatchesStart) => AsyncGenerator<NoisedBatch, void, void>;
  /** Where to begin. Its state is changed in place. */
  readonly point: TrainingPoint;
  /** Keeps a point to resume from: every `checkpointEvery` steps, and at the end. */
  readonly save?: (point: TrainingPoint) => Promise<void>;
  readonly hooks?: TrainingHooks;
  /** The processes that train together; by default, this one alone. */
  readonly team?: Team;
}

/** Returns the random weights that a training begins with. */
export function freshWeights(config: AcditConfig, seed: number): Weights {
  return initializeWeights(config, Generator.seeded(seed, WEIGHTS_STREAM));
}

/**
 * Trains to the recipe's last step. When `signal` aborts, the current step is abandoned, the state after the last
 * complete step is saved, and this returns. If something else fails, such as a hook or a dataset, that state is saved
 * first too.
 * @throws {TrainingError} if the loss or the gradient is no longer a number; the last checkpoint stays.
 * @throws {ConfigError} if the model does not fit the dataset.
 */
export async function runTraining(options: LoopOptions): Promise<TrainingPoint> {
  const { recipe, config, dataset, device, optimizerDevice = device, signal, hooks = {}, share } = options;
  const { training, output } = recipe;
  const team = options.team ?? alone;
  requireFit(config, dataset);
  let { point } = options;
  const saver = createSaver(options, point.step);
  await team.lead(async () => hooks.onStart?.(point));
  const evaluate = async (at: TrainingPoint): Promise<void> => {
    const isDue = (every: number | undefined): boolean =>
      every !== undefined && at.step > 0 && at.step % every === 0;
    const isLast = recipe.validation !== undefined && at.step >= training.steps;
    if (isDue(recipe.validation?.every) || isLast) {
      await hooks.onValidate?.(at.step, at.state.weights, await team.average(at));
    }
    if (isDue(recipe.evaluation?.every)) await hooks.onEvaluate?.(at.step, await team.average(at));
  };
  const pass = await compileGradientPass(device, config, training.batch, training.activations);
  const optimizer = await compileOptimizer(optimizerDevice, training);
  const { weights } = point.state;
  const stepper = team.createStepper({ ...options, pass, optimizer, weights });
  const source =
    options.batchesFrom?.(point) ??
    noisedBatches({ recipe, config, dataset, start: point, ...defined({ signal, share }) });
  try {
    await team.lead(() => evaluate(point));
    while (point.step < training.steps) {
      const started = performance.now();
      const report = await stepper.step(point, source, signal);
      const seconds = (performance.now() - started) / 1000;
      const samples = training.batch * training.accumulate;
      point = { ...point, step: point.step + 1, position: point.position + samples };
      await team.lead(async () => {
        await hooks.onStep?.({ ...report, step: point.step, samplesPerSecond: samples / seconds });
        await saver.saveIfDue(point);
        if (output.sampleEvery > 0 && point.step % output.sampleEvery === 0) {
          await hooks.onSample?.(point.step, await team.average(point), point.state.weights);
        }
        await evaluate(point);
      });
    }
    await team.lead(() => saver.save(point));
  } catch (error) {
    if (signal?.aborted) await team.lead(() => saver.save(point));
    else {
      // If the loss is not a number, the weights before it may be bad too.
      const isBad = [error, (error as Error).cause].some((one) => one instanceof TrainingError);
      if (stepper.isWhole() && !isBad) await team.lead(() => saver.saveAfter(error, point));
      throw error;
    }
  } finally {
    await source.return();
    await pass.dispose();
    await optimizer.dispose();
  }
  return point;
}

/** Saves each point of a run at most once. */
function createSaver({ recipe, save, hooks = {} }: LoopOptions, firstStep: number) {
  const { checkpointEvery, checkpointMinutes = Number.POSITIVE_INFINITY } = recipe.output;
  let savedStep = firstStep;
  let savedAt = performance.now();
  let failure: unknown;
  const saveOnce = async (point: TrainingPoint): Promise<void> => {
    if (!save || savedStep === point.step) return;
    await save(point).catch((error) => {
      failure = error;
      throw error;
    });
    savedStep = point.step;
    savedAt = performance.now();
    await hooks.onCheckpoint?.(point.step);
  };
  const saveIfDue = async (point: TrainingPoint): Promise<void> => {
    const minutes = (performance.now() - savedAt) / 60_000;
    if (point.step % checkpointEvery === 0 || minutes >= checkpointMinutes) await saveOnce(point);
  };
  /** Saves after something has failed. @throws {AcditError} naming both failures if saving fails too */
  const saveAfter = async (error: unknown, point: TrainingPoint): Promise<void> => {
    if (error === failure) return;
    await saveOnce(point).catch((cause) => {
      throw new AcditError(
        `${messageOf(error)}; step ${point.step} could not be saved either (${messageOf(cause)}), and the run resumes ` +
          `after step ${savedStep}`,
        { cause },
      );
    });
  };
  return { save: saveOnce, saveIfDue, saveAfter };
}

/** @throws {ConfigError} if the model does not fit the dataset. */
export function requireFit(config: AcditConfig, dataset: Dataset): void {
  const { space, frames, channels, height, width, classes } = config;
  const fail = (what: string, expected: unknown, got: unknown): never => {
    throw new ConfigError(
      `${dataset.name} does not fit the model: ${what} ${expected}, the dataset's ${got}`,
    );
  };
  const [datasetSpace, shape] = [dataset.autoencoder ? 'latents' : 'pixels', dataset.sampleShape];
  if (space !== datasetSpace) fail("the model's space is", space, datasetSpace);
  if (shape.join() !== [frames, channels, height, width].join()) {
    fail(
      "the model's frames, channels, height and width are",
      `[${[frames, channels, height, width]}]`,
      `[${shape}]`,
    );
  }
  if (classes !== dataset.classNames.length)
    fail("the model's classes are", classes, dataset.classNames.length);
  const names = config.classNames ?? dataset.classNames;
  const other = names.findIndex((name, label) => name !== dataset.classNames[label]);
  if (other >= 0)
    fail(`the model's class ${other} is`, printable(names[other]), printable(dataset.classNames[other]));
  const { autoencoder } = config;
  if (autoencoder && !sameOrigin(autoencoder, dataset.autoencoder)) {
    fail("the model's autoencoder is", describeOrigin(autoencoder), describeOrigin(dataset.autoencoder));
  }
}

/** The team of one process. */
const alone: Team = {
  lead: (work) => work(),
  average: async ({ state }) => state.ema,
  createStepper,
};

/** One optimizer step over `accumulate` micro-batches. The state changes only after the last of them. */
function createStepper(parts: StepperParts): Stepper {
  const { recipe, pass, optimizer, weights } = parts;
  const { training } = recipe;
  const gradients = zerosLike(weights);
  const part = training.accumulate > 1 ? zerosLike(weights) : gradients;

  let whole = true;
  const step: Stepper['step'] = async ({ step, state }, source, signal) => {
    let loss = 0;
    for (let micro = 0; micro < training.accumulate; micro++) {
      const next = await source.next();
      if (next.done) throw new TrainingError(`step ${step + 1}: the data came to an end`);
      const result = await pass.run(state.weights, next.value, part, signal);
      loss += result.loss / training.accumulate;
      if (part !== gradients) accumulate(gradients, part, micro === 0);
    }
    const norm = (await optimizer.norm(gradients)) / training.accumulate;
    const settings = stepSettings(parts, step, loss, norm);
    const groups = isLogged(recipe, step) ? gradientSquares() : undefined;
    groups?.add(gradients);
    whole = false;
    await optimizer.step(state, gradients, settings);
    whole = true;
    const gradientNorms = groups?.norms(1 / training.accumulate);
    return { loss, gradientNorm: norm, learningRate: settings.learningRate, ...defined({ gradientNorms }) };
  };
  return { step, isWhole: () => whole };
}

function accumulate(sum: Weights, part: Weights, first: boolean): void {
  for (const [name, { data }] of part) {
    const target = sum.get(name)!.data;
    if (first) target.set(data);
    else for (let i = 0; i < target.length; i++) target[i] = float32At(target, i) + float32At(data, i);
  }
}
