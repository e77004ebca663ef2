/** @file Metrics of generated samples: features of images and of videos, distances of distributions, coverage, scores. */

export { CLIP_PROTOCOL, type ClipProtocol } from './clips.ts';
export { type EvaluateOptions, evaluate, type Metrics } from './evaluate.ts';
export {
  type EvaluationSet,
  FID_NETWORK,
  FID_NETWORKS,
  FVD_NETWORK,
  type Protocol,
  readEvaluationSet,
  writeFeatures,
} from './evaluation-set.ts';
export { completeSet, type ExtractOptions, extractFeatures } from './extract.ts';
export {
  classifierNetwork,
  type ExtractedFeatures,
  type FeatureNetwork,
  i3dNetwork,
  inceptionNetwork,
} from './feature-network.ts';
export { frechetDistance } from './frechet.ts';
export { type Gaussian, gaussianOf } from './gaussian.ts';
export { datasetSource } from './idx-source.ts';
export { type KernelDistance, type KernelDistanceOptions, kernelDistance } from './kernel-distance.ts';
export { INCEPTION_SCORE_CHUNK, inceptionScore, type LabelAccuracy, labelAccuracy } from './logit-scores.ts';
export {
  compareManifolds,
  DENSITY_NEIGHBOUR,
  type ManifoldOptions,
  type Manifolds,
  PRECISION_NEIGHBOUR,
} from './manifolds.ts';
export {
  type OpenedSet,
  type OpenSetOptions,
  openSet,
  type SetContents,
  type VideoOptions,
} from './open-set.ts';
export type { Features, WorkOptions } from './products.ts';
export type { StatedProtocols } from './report/metric-table.ts';
export type { SampleSource, SharedBatches } from './sample-source.ts';
