/** @file What a step is taken with, once its loss and the norm of its gradients are known. */

import { learningRate } from './learning-rate.ts';
import { clipFactor, requireFinite, type StepOptions } from './optimizer.ts';
import type { StepperParts } from './team.ts';

/**
 * The settings of a step.
 * @param parts the recipe, and what sets the learning rate instead of its schedule
 * @param step steps done before
 * @param norm of the mean gradient of the step's micro-batches, whose sum is what the optimizer gets
 * @throws {TrainingError} if the loss or the norm is not a number
 */
export function stepSettings(
  { recipe: { training }, learningRateAt }: Pick<StepperParts, 'recipe' | 'learningRateAt'>,
  step: number,
  loss: number,
  norm: number,
): StepOptions {
  requireFinite(
    step + 1,
    loss,
    norm,
    'the last checkpoint is untouched. Try a lower learningRate, more warmupSteps, or a smaller clip',
  );
  const { schedule: kind, learningRate: peak, steps: totalSteps, warmupSteps, decayFraction } = training;
  return {
    learningRate:
      learningRateAt?.(step) ?? learningRate({ kind, peak, totalSteps, warmupSteps, decayFraction }, step),
    step: step + 1,
    gradientScale: clipFactor(norm, training.clip) / training.accumulate,
  };
}
