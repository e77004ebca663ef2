/**
 * @file ACDiT itself: configuration, token layout, positions, attention plans, layers and parameters; the
 * autoencoder whose latents it generates; and a classifier of small images.
 */

export {
  ATTENTION_NAMES,
  type AttentionName,
  type AttentionPredicate,
  type AttentionSetting,
  type AttentionTable,
  attentionOf,
  type BlockAttention,
  type SequenceBlock,
  type WindowAttention,
} from './acdit/attention.ts';
export {
  type AttentionPlan,
  type AttentionTile,
  type BlockPredicate,
  blockCausal,
  compilePlan,
  denseMask,
  full,
  type PlanOptions,
  planCost,
  skipCausal,
  type TokenRange,
  windowed,
} from './acdit/attention-plan.ts';
export {
  type ChosenClass,
  type ClassList,
  className,
  findClass,
  requireClass,
} from './acdit/class-names.ts';
export {
  ACDIT_SIZES,
  type AcditConfig,
  type AcditSize,
  type LatentOrigin,
  POSITION_KINDS,
  tokenCount,
  tokenSize,
  validateConfig,
} from './acdit/config.ts';
export { blockOrder, patchify, tokenPositions, unpatchify } from './acdit/layout.ts';
export { type RopeTables, ropeTables } from './acdit/rope.ts';
export {
  type Attend,
  conditions,
  feedForward,
  finalLayer,
  type LayerOptions,
  type Modulations,
  modulations,
  planAttention,
  predictNoise,
  type RopeSymbols,
  timestepFeatures,
  transformerLayer,
} from './acdit/transformer.ts';
export {
  checkWeights,
  type EmbedderSymbols,
  type EmbedderWeight,
  type FinalSymbols,
  type FinalWeight,
  initializeWeights,
  type LayerSymbols,
  type LayerWeight,
  layerInputs,
  layerWeights,
  type ModelSymbols,
  modelInputs,
  parameterCount,
  parameters,
  type WeightName,
  type Weights,
} from './acdit/weights.ts';
export {
  type Autoencoder,
  type AutoencoderOptions,
  type CodingOptions,
  createAutoencoder,
  type LatentDistribution,
} from './autoencoder/autoencoder.ts';
export { type AutoencoderConfig, downsampling, validateAutoencoder } from './autoencoder/config.ts';
export type { ParameterSource } from './autoencoder/programs.ts';
export { autoencoderParameters, type Part } from './autoencoder/stages.ts';
export {
  type Classification,
  type Classifier,
  type ClassifierConfig,
  type CompileClassifierOptions,
  classifierInputs,
  classify,
  compileClassifier,
  initializeClassifier,
  predictedClasses,
  validateClassifier,
} from './classifier/classifier.ts';
export {
  CLIP_RESIZINGS,
  type ClipResizing,
  createI3d,
  I3D_CONVOLUTIONS,
  type I3d,
  type I3dOptions,
  preprocessClips,
} from './i3d/i3d.ts';
export {
  createInception,
  type Inception,
  type InceptionFeatures,
  type InceptionWeights,
  PREPROCESSINGS,
  type Preprocessing,
} from './inception/inception.ts';
export type {
  Branches,
  ConvolutionLayer,
  ConvolutionParameters,
  NetworkLayer,
  PoolLayer,
} from './network-layers.ts';
