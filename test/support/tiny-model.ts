/** @file Models small enough to run in a moment, with formula weights. */

import { saveModel } from '../../src/checkpoints/save.ts';
import { type AcditConfig, validateConfig } from '../../src/models/acdit/config.ts';
import { formulaWeights } from './formula-weights.ts';

/** Grey pictures of 8 x 8 pixels in 4 blocks of 4 tokens. */
export const tinyPixels: AcditConfig = validateConfig({
  modelType: 'acdit',
  layers: 1,
  hidden: 32,
  heads: 1,
  mlpRatio: 2,
  classes: 3,
  classNames: ['T-shirt/top', 'Sneaker', 'Bag'],
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
});

/** Grey videos of 8 frames of 8 x 8 pixels, 2 frames per block. */
export const tinyVideo: AcditConfig = validateConfig({
  ...tinyPixels,
  hidden: 64,
  frames: 8,
  blockSize: 32,
  squareBlocks: false,
  positionSplit: [2, 3, 3],
});

const { classNames: _names, ...unnamed } = tinyPixels;

/** The same of an autoencoder's latents, with classes that have no names. */
export const tinyLatents: AcditConfig = validateConfig({ ...unnamed, space: 'latents', channels: 4 });

/** Write a model folder; gives its path. */
export async function saveTiny(folder: string, config: AcditConfig): Promise<string> {
  await saveModel(folder, config, formulaWeights(config));
  return folder;
}
