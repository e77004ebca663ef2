/**
 * @file The arithmetic that a model needs, in multiply-adds (MACs; a FLOP count is twice as large): products with
 * weights, and of queries with keys and values. Norms, softmax and the like are left out, as is usual.
 */

import { attentionOf, cleanBlocks, finishedBlock, type SequenceBlock } from './attention.ts';
import { type AcditConfig, passConfig, tokenCount, tokenSize } from './config.ts';
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

/** One layer's pass over a block, whose tokens attend it and those cached ones that it sees. */
function blockProducts(config: AcditConfig, query: SequenceBlock): number {
  const { blockSize } = config;
  const attended = attentionOf(config).count(query) + 1;
  return blockSize * tokenProducts(config) + attentionProducts(config, blockSize, blockSize * attended);
}

/**
 * One denoising step of block number `block`, after the cached ones, in one guidance branch; without its modulations. For
 * attention `full` it is a step of all blocks.
 */
export function stepCost(config: AcditConfig, block: number): number {
  const pass = passConfig(config);
  return pass.layers * blockProducts(pass, { block, clean: false }) + endProducts(pass, pass.blockSize);
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
  const finished = finishedBlock(attentionOf(config), block);
  return (layers - 1) * blockProducts(config, finished) + last + blockSize * hidden * tokenSize(config);
}

/**
 * One sample with the cache: all passes of all blocks, all finished blocks but the last appended, and one condition for
 * each pass of a block, which the others share. Without clean copies, each guidance branch has a cache of its own.
 * @param passes per block, or of each: one per step without guidance, two with
 * @param branches caches to fill, one per guidance branch that has its own (default: 1)
 */
export function sampleCost(config: AcditConfig, passes: number | readonly number[], branches = 1): number {
  const ofBlocks = typeof passes === 'number' ? Array<number>(config.blocks).fill(passes) : passes;
  const attention = attentionOf(config);
  const shared = Math.max(...ofBlocks) * conditionCost(config);
  if (attention.together) return shared + Math.max(...ofBlocks) * stepCost(config, 0);
  const caches = attention.copies ? 1 : branches;
  let cost = shared;
  for (const [block, count] of ofBlocks.entries()) {
    cost += count * stepCost(config, block);
    // Only whether it is kept matters, so a window need not list the others.
    const attended = block < ofBlocks.length - 1 && attention.kept(block + 1, 1).includes(block);
    if (attended) cost += caches * appendCost(config, block);
  }
  return cost;
}

/**
 * One sample in training: forward, and twice that backward, of the attended clean blocks (T - 1, or none) and the T noised
 * ones, with the pairs of blocks that attend each other. Of clean tokens the last layer needs keys and values only.
 */
export function trainingCost(config: AcditConfig): number {
  const { layers, hidden, blocks, blockSize } = config;
  const copies = cleanBlocks(config);
  const clean = copies * blockSize;
  const noised = blocks * blockSize;
  const keysAndValues = 2 * hidden ** 2;
  const rest = tokenProducts(config) - keysAndValues;
  const products =
    layers * keysAndValues * (clean + noised) + rest * (layers * noised + (layers - 1) * clean);
  const blockPair = attentionProducts(config, blockSize, blockSize);
  const noisedPairs = attendedPairs(config, blocks, false);
  const cleanPairs = attendedPairs(config, copies, true);
  const attention = blockPair * (layers * noisedPairs + (layers - 1) * cleanPairs);
  return 3 * (products + attention + endProducts(config, noised) + blocks * conditionCost(config));
}

/** Pairs of a query block and a key block in training, of the first `count` noised or clean blocks. */
function attendedPairs(config: AcditConfig, count: number, clean: boolean): number {
  const attention = attentionOf(config);
  if (attention.together) return count ** 2;
  let pairs = 0;
  for (let block = 0; block < count; block++) pairs += attention.count({ block, clean }) + 1;
  return pairs;
}
