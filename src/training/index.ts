/** @file Training: recipes, the loss and its gradient, AdamW, the trainer, logs and checkpoints. */

export { attentionOfModule, loadAttention } from './attention-module.ts';
export {
  resumeTraining,
  type StoredPoint,
  type StoredState,
  saveTraining,
  type TrainingPoint,
} from './checkpoint.ts';
export {
  type ClassifierOptions,
  type ClassifierStep,
  type ClassifierTraining,
  classifierAccuracy,
  trainClassifier,
} from './classifier.ts';
export { compileGradientPass } from './compile-gradient-pass.ts';
export type { Activations, GradientPass, GradientResult, NoisedBatch } from './gradient-pass.ts';
export { type LearningRateSchedule, learningRate } from './learning-rate.ts';
export { type MetricsLine, openJsonlTracker, readMetrics } from './logging/jsonl.ts';
export { combineTrackers, openTrackers } from './logging/open.ts';
export { openTensorBoardTracker } from './logging/tensorboard.ts';
export type { Tracker } from './logging/tracker.ts';
export {
  LOSS_WEIGHTINGS,
  type LossWeighting,
  timestepWeights,
  type WeightingOptions,
} from './loss-weighting.ts';
export type { TrainingMemory } from './memory.ts';
export {
  type BatchesStart,
  type BatchShare,
  type NoisedBatchesOptions,
  type NoisingOptions,
  noiseBatch,
  noiseBlocks,
  noisedBatches,
} from './noising.ts';
export {
  clipFactor,
  compileOptimizer,
  initialState,
  type Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type StepOptions,
} from './optimizer.ts';
export type { RateCurve, RateLoss } from './rate-range.ts';
export {
  type DatasetTraits,
  parseRecipe,
  parseRecipeDraft,
  type Recipe,
  type RecipeDraft,
  recipeModel,
} from './recipe.ts';
export { CHANGEABLE_KEYS, type ChangeableKey } from './same-run.ts';
export type { RankReport, Stepper, StepperParts, StepResult, Team } from './team.ts';
export type { LogitNormal, TimestepSampling } from './timestep-sampling.ts';
export { type StepReport, type TrainingHooks, type TrainingOptions, train } from './trainer.ts';
export { type BatchWorkerHooks, workerBatches } from './worker-batches.ts';
