/** @file Models on disk: model folders, their safetensors, and the official `.pt` checkpoints. */

export { openAutoencoder, parseAutoencoderConfig, type StoredAutoencoder } from './autoencoder.ts';
export { autoencoderFingerprint } from './autoencoder-fingerprint.ts';
export { loadModel, type OpenOptions, openModel, readWeights, type StoredModel } from './load.ts';
export type { WeightsChoice } from './official.ts';
export { type SaveOptions, saveModel } from './save.ts';
