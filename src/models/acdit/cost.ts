/**
 * @file The arithmetic that a model needs, in multiply-adds (MACs; a FLOP count is twice as large): products with
 * weights, and of queries with keys and values. Norms, softmax and the like are left out, as is usual.
 */

import { type AcditConfig, tokenCount, tokenSize } from './config.ts';
import { LAYER_MODULATIONS, TIMESTEP_FEATURES } from './weights.ts';

/** Everything a token passes but attention, in one layer. */
function tokenProducts({ hidden, mlpRatio }: AcditConfig): number {
  return (4 + 2 * mlpRatio) * hidden ** 2;
}

/** Products of queries with keys, and of scores with values, in one layer. */
function attentionProducts({ hidden }: AcditConfig, queries: number, keys: number): number {
  return 2 * hidden * queries * keys;
}

/** Products into the first layer, and out of the last. */
function endProducts(config: AcditConfig, tokens: number): number {
  return 2 * tokens * config.hidden * tokenSize(config);
}

/** One condition's vector and modulations, of all layers. */
export function conditionCost({ hidden, layers }: AcditConfig): number {
  return hidden * TIMESTEP_FEATURES + hidden ** 2 * (1 + LAYER_MODULATIONS * layers + 2);
}

/** The whole sequence at once, every token attending every other: what papers call the model's cost. */
export function sequenceCost(config: AcditConfig): number {
  const tokens = tokenCount(config);
  const layer = tokens * tokenProducts(config) + attentionProducts(config, tokens, tokens);
  return config.layers * layer + endProducts(config, tokens) + conditionCost(config);
}

/** One layer's pass over block number `block`, whose tokens also attend the cached ones. */
function blockProducts(config: AcditConfig, block: number): number {
  const { blockSize } = config;
  return blockSize * tokenProducts(config) + attentionProducts(config, blockSize, blockSize * (block + 1));
}

/** One denoising step of block number `block`, after the cached ones, in one guidance branch; without its modulations. */
export function stepCost(config: AcditConfig, block: number): number {
  return config.layers * blockProducts(config, block) + endProducts(config, config.blockSize);
}

/** Products with the layers' weights in a denoising step, in one guidance branch: what precisions other than float32 change. */
export function layerProducts(config: AcditConfig): number {
  return config.layers * config.blockSize * tokenProducts(config);
}

/**
 * Their share of a step's products with weights.
 * @param exact how many of the layers' weights are multiplied in float32 nevertheless
 */
export function layerShare(config: AcditConfig, exact = 0): number {
  const layers = layerProducts(config);
  return (layers - config.blockSize * exact) / (layers + endProducts(config, config.blockSize));
}

/** Appending a finished block to the cache. Nothing reads the last layer's result but its keys and values. */
export function appendCost(config: AcditConfig, block: number): number {
  const { blockSize, layers, hidden } = config;
  const last = 3 * blockSize * hidden ** 2;
  return (layers - 1) * blockProducts(config, block) + last + blockSize * hidden * tokenSize(config);
}

/**
 * One sample with the cache: all passes of all blocks, all finished blocks but the last appended, and one condition for
 * each pass of a block, which the others share.
 * @param passes per block, or of each: one per step without guidance, two with
 */
export function sampleCost(config: AcditConfig, passes: number | readonly number[]): number {
  const ofBlocks = typeof passes === 'number' ? Array<number>(config.blocks).fill(passes) : passes;
  let cost = Math.max(...ofBlocks) * conditionCost(config);
  for (const [block, count] of ofBlocks.entries()) {
    cost += count * stepCost(config, block);
    if (block < ofBlocks.length - 1) cost += appendCost(config, block);
  }
  return cost;
}

/**
 * One sample in training: forward, and twice that backward, of the T - 1 attended clean blocks and the T noised ones. Of
 * clean tokens the last layer needs keys and values only.
 */
export function trainingCost(config: AcditConfig): number {
  const { layers, hidden, blocks, blockSize } = config;
  const clean = (blocks - 1) * blockSize;
  const noised = blocks * blockSize;
  const keysAndValues = 2 * hidden ** 2;
  const rest = tokenProducts(config) - keysAndValues;
  const products =
    layers * keysAndValues * (clean + noised) + rest * (layers * noised + (layers - 1) * clean);
  const blockPair = attentionProducts(config, blockSize, blockSize);
  const noisedPairs = (blocks * (blocks + 1)) / 2;
  const cleanPairs = (blocks * (blocks - 1)) / 2;
  const attention = blockPair * (layers * noisedPairs + (layers - 1) * cleanPairs);
  return 3 * (products + attention + endProducts(config, noised) + blocks * conditionCost(config));
}
