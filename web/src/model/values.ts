/** @file From a sampler's values to pixels, and which pixels each block makes. */

import { at, take } from '../../../src/at.ts';
import { framesOf, type Image } from '../../../src/media/pixels.ts';
import { type AcditConfig, tokenSize } from '../../../src/models/acdit/config.ts';
import { unpatchify } from '../../../src/models/acdit/layout.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';

/** Returns the number of values per block. */
export function blockLength(config: AcditConfig): number {
  return config.blockSize * tokenSize(config);
}

/** Returns the configuration of a longer or shorter video. */
export function withBlocks(config: AcditConfig, blocks: number): AcditConfig {
  if (blocks === config.blocks) return config;
  return { ...config, blocks, frames: (config.frames * blocks) / config.blocks };
}

/** Returns the configuration with as many blocks as `values` holds. */
export function blockConfig(config: AcditConfig, values: Float32Array): AcditConfig {
  return withBlocks(config, Math.round(values.length / blockLength(config)));
}

/** Returns the values of blocks as (1, T, B, C). */
export function tensorOf(config: AcditConfig, values: Float32Array): Tensor<'float32'> {
  return float32([1, config.blocks, config.blockSize, tokenSize(config)], values);
}

/** Returns the frames of all blocks, one for an image. */
export function imagesOf(config: AcditConfig, values: Float32Array): Image[] {
  const pictures = unpatchify(config, tensorOf(config, values));
  return at(framesOf(config.space === 'latents' ? threeChannels(pictures) : pictures), 0);
}

/** Latents have no colours; their first three channels, a third as large, give an idea of the image. */
function threeChannels({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [samples, frames, channels, height, width] = take(shape, 5);
  const size = height * width;
  const out = float32([samples, frames, 3, height, width], new Float32Array(samples * frames * 3 * size));
  for (let i = 0; i < out.data.length; i++) {
    const [picture, channel, pixel] = [Math.floor(i / (3 * size)), Math.floor(i / size) % 3, i % size];
    out.data[i] = at(data, (picture * channels + Math.min(channel, channels - 1)) * size + pixel) / 3;
  }
  return out;
}

/** Returns per frame the block that each pixel belongs to. */
export function blockMaps(config: AcditConfig): Int32Array[] {
  const length = blockLength(config);
  const values = Float32Array.from({ length: config.blocks * length }, (_, i) => Math.floor(i / length));
  const { shape, data } = unpatchify(config, tensorOf(config, values));
  const [, frames, channels, height, width] = take(shape, 5);
  const size = height * width;
  return Array.from({ length: frames }, (_, frame) =>
    Int32Array.from(data.subarray(frame * channels * size, frame * channels * size + size)),
  );
}

/** A rectangle in shares of the image's sides, and the frame that it is in. */
export interface BlockArea {
  readonly block: number;
  readonly frame: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Returns where each block is, in each frame that it reaches into. */
export function blockAreas(config: AcditConfig): BlockArea[] {
  const { width, height } = config;
  return blockMaps(config).flatMap((map, frame) => {
    const boxes = new Map<number, [left: number, top: number, right: number, bottom: number]>();
    map.forEach((block, i) => {
      const [x, y] = [i % width, Math.floor(i / width)];
      const [left, top, right, bottom] = boxes.get(block) ?? [x, y, x, y];
      boxes.set(block, [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)]);
    });
    return [...boxes].map(([block, [left, top, right, bottom]]) => ({
      block,
      frame,
      left: left / width,
      top: top / height,
      width: (right - left + 1) / width,
      height: (bottom - top + 1) / height,
    }));
  });
}
