/** @file Training: recipes, datasets, the loss and its gradient, AdamW, the trainer, logs and checkpoints. */

export { resumeTraining, saveTraining, type TrainingPoint } from './checkpoint.ts';
export type { Augmentation } from './datasets/augment.ts';
export { type Batch, type BatchOptions, batches } from './datasets/batches.ts';
export type { Dataset, ImageShape, Sample } from './datasets/dataset.ts';
export { type DatasetOptions, openDataset } from './datasets/open.ts';
export {
  compileGradientPass,
  type GradientPass,
  type GradientResult,
  type NoisedBatch,
} from './gradient-pass.ts';
export { type LearningRateSchedule, learningRate } from './learning-rate.ts';
export { type MetricsLine, openJsonlTracker, readMetrics } from './logging/jsonl.ts';
export { combineTrackers, openTrackers } from './logging/open.ts';
export { openTensorBoardTracker } from './logging/tensorboard.ts';
export type { Tracker } from './logging/tracker.ts';
export { noiseBatch, noiseBlocks } from './noising.ts';
export {
  clipFactor,
  compileOptimizer,
  initialState,
  type Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type StepOptions,
} from './optimizer.ts';
export { parseRecipe, type Recipe, recipeModel } from './recipe.ts';
export { type StepReport, type TrainingHooks, type TrainingOptions, train } from './trainer.ts';
