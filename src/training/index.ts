/** @file Training: recipes, datasets, the loss and its gradient, AdamW, the trainer, logs and checkpoints. */

export { resumeTraining, saveTraining, type TrainingPoint } from './checkpoint.ts';
export {
  type ClassifierOptions,
  type ClassifierStep,
  type ClassifierTraining,
  classifierAccuracy,
  trainClassifier,
} from './classifier.ts';
export { compileGradientPass } from './compile-gradient-pass.ts';
export type { Augmentation } from './datasets/augment.ts';
export { type Batch, type BatchOptions, batches } from './datasets/batches.ts';
export type {
  Dataset,
  ImageDataset,
  Recording,
  Sample,
  SampleShape,
  VideoDataset,
} from './datasets/dataset.ts';
export type { PassedOver, SpecialKind } from './datasets/folder-files.ts';
export type { Split } from './datasets/idx-dataset.ts';
export type { ClipOptions, DatasetKind } from './datasets/kinds.ts';
export { type MovingItemsOptions, movingItems } from './datasets/moving-items.ts';
export { type DatasetOptions, openDataset, openImages, openVideos } from './datasets/open.ts';
export type { Clip, ClipFormat, ClipRequest } from './datasets/videos/clip.ts';
export type { ClipReader } from './datasets/videos/clip-reader.ts';
export type { Activations, GradientPass, GradientResult, NoisedBatch } from './gradient-pass.ts';
export { type EncodeHooks, type EncodeOptions, type EncodeStart, encodeLatents } from './latents/encode.ts';
export type { LatentsIndex } from './latents/index-file.ts';
export { type LatentsOptions, openLatents } from './latents/latents-dataset.ts';
export { type LearningRateSchedule, learningRate } from './learning-rate.ts';
export { type MetricsLine, openJsonlTracker, readMetrics } from './logging/jsonl.ts';
export { combineTrackers, openTrackers } from './logging/open.ts';
export { openTensorBoardTracker } from './logging/tensorboard.ts';
export type { Tracker } from './logging/tracker.ts';
export { LOSS_WEIGHTINGS, type LossWeighting, timestepWeights } from './loss-weighting.ts';
export { type BatchesStart, type NoisedBatchesOptions, noisedBatches } from './noised-batches.ts';
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
export { type DatasetTraits, parseRecipe, type Recipe, recipeModel } from './recipe.ts';
export { CHANGEABLE_KEYS, type ChangeableKey } from './recipe-changes.ts';
export { type StepReport, type TrainingHooks, type TrainingOptions, train } from './trainer.ts';
export { type BatchWorkerHooks, workerBatches } from './worker-batches.ts';
