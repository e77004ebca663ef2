/** @file What a gradient pass is fed with, of a batch and of weights. */

import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/timestep.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { elementCount, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { cleanBlocks } from './gradient-graphs.ts';
import type { NoisedBatch } from './gradient-pass.ts';

export type Named = Record<string, Tensor<'float32'>>;

/** Conditions, and the tokens of the whole sequence. */
export function batchFeeds(
  config: AcditConfig,
  batch: NoisedBatch,
): Record<'features' | 'labels' | 'tokens', Tensor> {
  return {
    features: timestepFeatures(batch.timesteps),
    labels: repeatLabels(batch.labels, config.blocks),
    tokens: joinStream(batch, cleanBlocks(config), config.blocks),
  };
}

/** What the prediction is compared with. */
export function lossFeeds(
  { blocks }: AcditConfig,
  { noise, labels, lossWeights }: NoisedBatch,
): Record<'noise' | 'lossWeights', Tensor<'float32'>> {
  const weights = lossWeights ?? new Float32Array(labels.length * blocks).fill(1);
  return { noise, lossWeights: float32([labels.length, blocks, 1, 1], Float32Array.from(weights)) };
}

export function named(weights: Weights, names: readonly string[]): Named {
  return Object.fromEntries(names.map((name) => [name, weights.get(name)!]));
}

/** Gradient outputs are named after what they are the gradient of. */
export function prefixed(tensors: Named): Named {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [`d.${name}`, value]));
}

function repeatLabels(labels: ArrayLike<number>, times: number): Tensor<'int64'> {
  const out = new BigInt64Array(labels.length * times);
  for (let i = 0; i < out.length; i++) out[i] = BigInt(labels[Math.floor(i / times)]);
  return tensor('int64', [out.length], out);
}

/** The clean blocks that are attended, then all noised ones, for each sample: (N, G, B, C). */
function joinStream(batch: NoisedBatch, clean: number, blocks: number): Tensor<'float32'> {
  const [samples, , ...inner] = batch.noised.shape;
  const size = elementCount(inner);
  const out = new Float32Array(samples * (clean + blocks) * size);
  for (let n = 0; n < samples; n++) {
    const start = n * (clean + blocks) * size;
    const from = n * blocks * size;
    out.set(batch.clean.data.subarray(from, from + clean * size), start);
    out.set(batch.noised.data.subarray(from, from + blocks * size), start + clean * size);
  }
  return float32([samples, clean + blocks, ...inner], out);
}
