/** @file The learning-rate range test of a recipe: what `acdit range-test` does. The folder of the recipe's run is not used. */

import { dirname } from 'node:path';
import type { Dataset } from '../data/dataset.ts';
import { TrainingError } from '../errors.ts';
import { makeFolders, writeJsonAtomically, writeTextAtomically } from '../io/atomic-write.ts';
import { formatRate } from '../io/quantities.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { packageVersion } from '../package-version.ts';
import type { Device } from '../runtime/device.ts';
import {
  divergenceOf,
  type RateCurve,
  type RateLoss,
  type RateRange,
  rateAt,
  readRateCurve,
  requireRateRange,
  SUGGESTION_RULE,
} from '../training/rate-range.ts';
import type { Recipe, RecipeDraft } from '../training/recipe.ts';
import { startingPoint } from '../training/trainer.ts';
import { runTraining } from '../training/training-loop.ts';
import { workerBatches } from '../training/worker-batches.ts';
import { resolveBatch } from './batch-size.ts';
import { requireFreeFiles, requireTrainingMemory } from './checks.ts';
import { dataFacts } from './data-facts.ts';
import { modelPath } from './model-path.ts';
import { ratePlot } from './range-plot.ts';
import { type ActiveContext, contextOf, type RunContext } from './reporter.ts';
import { openTrainingData } from './train.ts';

/** Which learning rates to test, and for what recipe. */
export interface RangeTestOptions extends RunContext {
  /** See `parseRecipeDraft`. Its learning rate, schedule, steps and output are not used. */
  readonly recipe: RecipeDraft;
  /** Lowest rate (default: 1e-6). */
  readonly from?: number | undefined;
  /** Highest rate (default: 1). */
  readonly to?: number | undefined;
  /** Optimizer steps (default: 200). */
  readonly steps?: number | undefined;
  /** Computes the gradients; the caller disposes of it. */
  readonly device: Device;
  /** Steps the weights (default: `device`). */
  readonly optimizerDevice?: Device | undefined;
  /** JSON file of the results, whose name ends in `.json`; the plot is next to it, as SVG. */
  readonly file: string;
  /** Whether the files may be replaced if they exist (default: false). */
  readonly overwrite?: boolean | undefined;
}

/** What a range test found, and where it is written. */
export interface RangeTestResult extends RateCurve {
  /** Whether the loss diverged, which ended the test. */
  readonly diverged: boolean;
  readonly file: string;
  readonly plot: string;
}

/** Rates and steps that are tested by default. */
export const DEFAULT_RANGE: RateRange = { from: 1e-6, to: 1, steps: 200 };

/**
 * Trains a recipe's model for a few hundred steps, with a learning rate that rises exponentially, and suggests one. It begins
 * with the weights that the recipe's training would begin with, ends early if the loss diverges, and writes the losses as
 * JSON and as a plot. It emits an event `rate` per step, and `range-test` at the end.
 * @throws {AcditError} if the range, the data or the recipe is not valid, or a file exists.
 * @throws the signal's reason once it is aborted; nothing is written then.
 */
export async function testLearningRates(options: RangeTestOptions): Promise<RangeTestResult> {
  const { from = DEFAULT_RANGE.from, to = DEFAULT_RANGE.to, steps = DEFAULT_RANGE.steps } = options;
  const range = { from, to, steps };
  requireRateRange(range);
  const { file, overwrite } = options;
  const plot = file.replace(/(\.json)?$/i, '.svg');
  await requireFreeFiles([file, plot], overwrite);
  const context = contextOf(options);
  const { report } = context;
  const { dataset, config, draft } = await openTrainingData(options.recipe, context);
  try {
    const { device } = options;
    const found = await resolveBatch({ draft, config, device, samples: dataset.size, fresh: true });
    const { training } = found.recipe;
    if (!device.separateMemory) requireTrainingMemory(config, training.batch, training.activations);
    const recipe = { ...found.recipe, training: { ...training, steps } };
    report.say(`testing ${steps} learning rates from ${from} to ${to}, one step with each`);
    const { losses, diverged } = await trainRising(
      { ...options, ...context, recipe, config, dataset },
      range,
    );
    const curve = readRateCurve(losses, diverged);
    const result = { ...curve, diverged, file, plot };
    await makeFolders(dirname(file));
    const { output: _, ...tested } = found.recipe;
    await writeJsonAtomically(file, {
      format: 'acdit-range-test',
      version: 1,
      acdit: packageVersion(),
      recipe: tested,
      data: await dataFacts(dataset),
      ...{ from, to, steps, diverged },
      ...describeCurve(curve),
      points: curve.points,
    });
    await writeTextAtomically(plot, ratePlot(result));
    report.emit({ kind: 'range-test', ...describeCurve(curve), diverged, file, plot });
    return result;
  } finally {
    await dataset.close?.();
  }
}

/** Trains with rising rates, until the last one or until the loss diverges. */
async function trainRising(
  options: Omit<RangeTestOptions, 'recipe'> &
    ActiveContext & { readonly recipe: Recipe; readonly config: AcditConfig; readonly dataset: Dataset },
  range: RateRange,
): Promise<{ readonly losses: RateLoss[]; readonly diverged: boolean }> {
  const { recipe, device, optimizerDevice = device, report, signal } = options;
  const losses: RateLoss[] = [];
  const diverges = divergenceOf();
  const end = new AbortController();
  const progress = report.progress({ total: range.steps, label: 'range test' });
  try {
    const point = await startingPoint({ ...options, locateModel: (name) => modelPath(name, options) });
    await runTraining({
      ...options,
      ...{ optimizerDevice, point },
      ...(device.separateMemory && { batchesFrom: (start) => workerBatches(recipe, start) }),
      signal: AbortSignal.any([signal, end.signal]),
      learningRateAt: (step) => rateAt(range, step),
      hooks: {
        onStep({ step, learningRate, loss }) {
          losses.push({ learningRate, loss });
          progress.update(step, { lr: formatRate(learningRate), loss: loss.toFixed(4) });
          report.emit({ kind: 'rate', step, learningRate, loss });
          if (diverges(loss)) end.abort();
        },
      },
    });
  } catch (error) {
    // A loss of NaN or infinity is divergence too, unless the first step has one.
    if (!(error instanceof TrainingError) || losses.length === 0) throw error;
    end.abort();
  } finally {
    progress.finish();
  }
  signal.throwIfAborted();
  return { losses, diverged: end.signal.aborted };
}

/** Returns what is reported of a curve besides its points. */
function describeCurve({ lowest, steepest, suggested, problem }: RateCurve) {
  return { suggested, rule: SUGGESTION_RULE, lowest, steepest, problem };
}
