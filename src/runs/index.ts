/** @file What the commands do, without a terminal: `acdit/runs`. */

export type { ModelKind } from '../checkpoints/bundled-names.ts';
export type { PerSet } from '../evaluation/evaluation-set.ts';
export type { SamplerSource } from './batches.ts';
export type { LabelOptions, LabelOrder } from './chosen-labels.ts';
export {
  type ConvertModelOptions,
  type ConvertModelResult,
  convertModel,
  type ModelFormat,
} from './convert.ts';
export { type EncodeDatasetOptions, type EncodeDatasetResult, encodeDataset } from './encode.ts';
export {
  type EvaluateSamplesOptions,
  type EvaluateSamplesResult,
  evaluateOnRanks,
  evaluateSamples,
  writeEvaluationReport,
} from './evaluate.ts';
export { i3dPath, inceptionPath, type NetworkOptions } from './feature-network.ts';
export { labelName, type ParsedLabels, parseLabels } from './labels.ts';
export { type Macs, type ModelNeeds, modelNeeds } from './model-needs.ts';
export {
  autoencoderPath,
  bundledClassifier,
  bundledModel,
  decoderPath,
  modelPath,
  type NamedModelOptions,
  openNamedModel,
} from './model-path.ts';
export { type RangeTestOptions, type RangeTestResult, testLearningRates } from './range-test.ts';
export {
  type Progress,
  type Reporter,
  type RunContext,
  silentReporter,
  type WorkOptions,
} from './reporter.ts';
export { type FinishedSample, type SampleOptions, type SampleResult, sample } from './sample.ts';
export { type SampleNpzOptions, type SampleNpzResult, sampleNpz } from './sample-npz.ts';
export type { SamplingOptions, SamplingRecord } from './sampling-plan.ts';
export { type PlannedRun, planStudy, runStudy, type StudyOptions, type StudyResult } from './study.ts';
export { type TrainModelOptions, type TrainModelResult, trainModel } from './train.ts';
export { type TuneOptions, type TuneResult, tuneModel } from './tune.ts';
export type { GuidanceSearch } from './tune-guidance.ts';
