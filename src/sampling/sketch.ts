/** @file Samples in progress: finished blocks, and the block that is being made as the network predicts it. */

import { at, take } from '../at.ts';
import { type AcditConfig, frameCount, tokenSize, tokensPerFrame } from '../models/acdit/config.ts';
import { sliceAxis } from '../tensor/axes.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';

/** Makes tokens (N, T, B, C) for samples in progress. What is missing is 0, which is grey. */
export function createSketch(config: AcditConfig, samples: number, blocks = config.blocks) {
  return zeros('float32', [samples, blocks, config.blockSize, tokenSize(config)]);
}

/** Puts a block (N, B, C) in its place among tokens (N, T, B, C). */
export function placeBlock(tokens: Tensor<'float32'>, block: number, { data }: Tensor<'float32'>): void {
  const [samples, blocks] = take(tokens.shape, 2);
  const size = data.length / samples;
  for (let n = 0; n < samples; n++) {
    tokens.data.set(data.subarray(n * size, (n + 1) * size), (n * blocks + block) * size);
  }
}

/** Returns a copy of tokens (N, T, B, C) with a block in its place. */
export function withBlock({ shape, data }: Tensor<'float32'>, block: number, latents: Tensor<'float32'>) {
  const copy = float32(shape, data.slice());
  placeBlock(copy, block, latents);
  return copy;
}

/** Returns the tokens (N, 1, tokens, C) of the frames in which a block lies, and the first frame's number. */
export function framesOfBlock(
  config: AcditConfig,
  { shape, data }: Tensor<'float32'>,
  block: number,
): { readonly first: number; readonly tokens: Tensor<'float32'> } {
  const first = Math.floor(frameCount(config, block));
  const end = Math.ceil(frameCount(config, block + 1));
  const perFrame = tokensPerFrame(config);
  const [samples, blocks, blockSize, size] = take(shape, 4);
  const sequence = float32([samples, blocks * blockSize, size], data);
  const frames = sliceAxis(sequence, 1, first * perFrame, end * perFrame);
  return { first, tokens: float32([samples, 1, at(frames.shape, 1), size], frames.data) };
}

/** Returns after which of the steps previews are shown: at equal distances. */
export function previewSteps(total: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.max(1, Math.round((total * (i + 1)) / (count + 1))));
}
