/** @file Conversion between images and sequences: patches become tokens, ordered block by block. */

import { float32At, int32At } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.ts';
import { type AcditConfig, gridLengths, tokenCount, tokenSize, tokensPerFrame } from './config.ts';

/**
 * For each token in block order, its place in the row-major order of the grid.
 * Square blocks follow each other in raster order, and so do the tokens inside one.
 */
export function blockOrder(config: AcditConfig): Int32Array {
  const order = Int32Array.from({ length: tokenCount(config) }, (_, i) => i);
  if (!config.squareBlocks) return order;
  const columns = config.width / config.patch;
  const side = Math.sqrt(config.blockSize);
  const blocksAcross = columns / side;
  return order.map((token) => {
    const block = Math.floor(token / config.blockSize);
    const inside = token % config.blockSize;
    const row = Math.floor(block / blocksAcross) * side + Math.floor(inside / side);
    const column = (block % blocksAcross) * side + (inside % side);
    return row * columns + column;
  });
}

/** Position of each token, in block order, along each axis of `positionSplit`. */
export function tokenPositions(config: AcditConfig): Int32Array[] {
  const order = blockOrder(config);
  return gridLengths(config).map((length, axis, lengths) => {
    const stride = elementCount(lengths.slice(axis + 1));
    return order.map((place) => Math.floor(place / stride) % length);
  });
}

/** Offsets in a (frames, channels, H, W) image of each value of its token sequence; channels vary fastest in a token. */
export function tokenOffsets(config: AcditConfig): Int32Array {
  const { channels, patch, height, width } = config;
  const columns = width / patch;
  const perFrame = tokensPerFrame(config);
  const offsets = new Int32Array(tokenCount(config) * tokenSize(config));
  let end = 0;
  for (const place of blockOrder(config)) {
    const frame = Math.floor(place / perFrame);
    const top = Math.floor((place % perFrame) / columns) * patch;
    const left = (place % columns) * patch;
    for (let y = 0; y < patch; y++) {
      for (let x = 0; x < patch; x++) {
        for (let channel = 0; channel < channels; channel++) {
          offsets[end++] = ((frame * channels + channel) * height + top + y) * width + left + x;
        }
      }
    }
  }
  return offsets;
}

/**
 * Copies values between images and token sequences, one sample after the other: `move` gets a value's offset in the
 * sequence, and in the image.
 * @returns the number of samples
 * @throws {ShapeError} if there is not a whole number of them.
 */
function eachValue(
  what: string,
  config: AcditConfig,
  { shape, data }: Tensor,
  move: (inTokens: number, inPicture: number) => void,
): number {
  const offsets = tokenOffsets(config);
  const size = offsets.length;
  if (elementCount(shape) % size !== 0 || data.length === 0) {
    throw new ShapeError(`${what}: shape [${shape}] holds no whole number of samples of ${size} values`);
  }
  for (let start = 0; start < data.length; start += size) {
    for (let i = 0; i < size; i++) move(start + i, start + int32At(offsets, i));
  }
  return data.length / size;
}

/** (N, frames, channels, H, W) images, or (N, channels, H, W), to tokens (N, T, B, C). */
export function patchify(config: AcditConfig, pictures: Tensor<'float32'>): Tensor<'float32'> {
  const out = new Float32Array(pictures.data.length);
  const count = eachValue('patchify', config, pictures, (inTokens, inPicture) => {
    out[inTokens] = float32At(pictures.data, inPicture);
  });
  return float32([count, config.blocks, config.blockSize, tokenSize(config)], out);
}

/** Tokens (N, T, B, C) back to images (N, frames, channels, H, W). Of clips there may be any number of whole frames. */
export function unpatchify(config: AcditConfig, tokens: Tensor<'float32'>): Tensor<'float32'> {
  const layout = clipLayout(config, tokens.shape);
  const { frames, channels, height, width } = layout;
  const out = new Float32Array(tokens.data.length);
  const count = eachValue('unpatchify', layout, tokens, (inTokens, inPicture) => {
    out[inPicture] = float32At(tokens.data, inTokens);
  });
  return float32([count, frames, channels, height, width], out);
}

/** The layout of (N, T, B, C) tokens that may be fewer or more frames than the model's own. */
function clipLayout(config: AcditConfig, [, blocks = 0, blockSize = 0]: readonly number[]): AcditConfig {
  const frames = (blocks * blockSize) / tokensPerFrame(config);
  if (config.frames === 1 || frames === 0 || !Number.isInteger(frames)) return config;
  return { ...config, frames, blocks, blockSize };
}

/** The layout of `frames` frames of a clip as one block; for an image, its own. */
export function framesLayout(config: AcditConfig, frames: number): AcditConfig {
  return clipLayout(config, [1, 1, frames * tokensPerFrame(config)]);
}
