/** @file Small models for tests. */

import { type AcditConfig, validateConfig } from '../../src/models/acdit/config.ts';

/** A model of 8 x 8 gray pixels in 4 square blocks of 4 tokens, changed as told. */
export function tinyConfig(changes: Partial<AcditConfig> = {}): AcditConfig {
  return validateConfig({ ...tinyFields, ...changes });
}

/** The fields of {@link tinyConfig}, unchecked. */
export const tinyFields: AcditConfig = {
  modelType: 'acdit',
  layers: 2,
  hidden: 24,
  heads: 3,
  mlpRatio: 2,
  classes: 3,
  space: 'pixels',
  channels: 1,
  frames: 1,
  height: 8,
  width: 8,
  patch: 2,
  blockSize: 4,
  blocks: 4,
  squareBlocks: true,
  positionSplit: [1, 1],
};

/** Clips of 8 frames of 4 x 4 pixels in 4 blocks. */
export const tinyClips: AcditConfig = tinyConfig({
  frames: 8,
  height: 4,
  width: 4,
  blockSize: 8,
  squareBlocks: false,
  positionSplit: [2, 3, 3],
  hidden: 64,
  heads: 2,
});
