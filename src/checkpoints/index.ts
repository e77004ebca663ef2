/** @file Models on disk: model folders, their safetensors, the official `.pt` checkpoints, and ONNX programs. */

export { openAutoencoder } from './autoencoder.ts';
export { autoencoderFingerprint } from './autoencoder-fingerprint.ts';
export { type LoadedClassifier, loadClassifier, saveClassifier } from './classifier.ts';
export { I3D_FILES, openI3d, type StoredI3d } from './i3d.ts';
export { INCEPTION_FILES, openInception, type StoredInception } from './inception.ts';
export { loadModel, openModel, readWeights, type StoredModel } from './load.ts';
export type { OpenOptions, WeightsChoice } from './official.ts';
export type { CheckpointLayout } from './official-config.ts';
export { saveOfficial } from './official-writer.ts';
export { saveOnnx } from './onnx-writer.ts';
export { type SaveOptions, type StorageType, type StoredWeights, saveModel } from './save.ts';
export { parseSolver, type SolverFile } from './solver-file.ts';
export { parseAutoencoderConfig, type StoredAutoencoder } from './stored-autoencoder.ts';
