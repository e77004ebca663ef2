/** @file What a gradient pass is fed with: a batch, weights, and the gradients to fill. */

import { at, take } from '../at.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/timestep.ts';
import { elementCount, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { type BatchSymbols, cleanBlocks } from './gradient-graphs.ts';
import type { NoisedBatch } from './gradient-pass.ts';

export type Named = Record<string, Tensor<'float32'>>;

/** A batch by the names of the graphs' inputs: see `BatchSymbols`. */
export function batchFeeds(config: AcditConfig, batch: NoisedBatch): Record<keyof BatchSymbols, Tensor> {
  const { blocks } = config;
  const { timesteps, labels, target, lossWeights } = batch;
  const weights = lossWeights ?? new Float32Array(labels.length * blocks).fill(1);
  return {
    features: timestepFeatures(timesteps),
    labels: repeatLabels(labels, blocks),
    tokens: joinSequence(batch, cleanBlocks(config), blocks),
    target,
    lossWeights: float32([labels.length, blocks, 1, 1], Float32Array.from(weights)),
  };
}

/** Names gradients after what they are the gradients of. */
export function prefixed(tensors: Named): Named {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [`d.${name}`, value]));
}

function repeatLabels(labels: ArrayLike<number>, times: number): Tensor<'int64'> {
  const out = new BigInt64Array(labels.length * times);
  for (let i = 0; i < out.length; i++) out[i] = BigInt(at(labels, Math.floor(i / times)));
  return tensor('int64', [out.length], out);
}

/** The clean blocks that are attended, then all noised ones, for each sample: (N, 2 T - 1, B, C). */
function joinSequence(batch: NoisedBatch, clean: number, blocks: number): Tensor<'float32'> {
  const [samples, , ...inner] = take(batch.noised.shape, 2);
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
