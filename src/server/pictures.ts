/** @file Latents on their way to clients: as images, whole or not finished yet, and as tensors in JSON. */

import { endianness } from 'node:os';
import { at, take } from '../at.ts';
import { encodeImage, type Image, type ImageFormat } from '../media/image.ts';
import { framesOf } from '../media/pixels.ts';
import { type AcditConfig, frameCount, tokenSize, tokensPerFrame } from '../models/acdit/config.ts';
import { sliceAxis } from '../tensor/axes.ts';
import { arrayFromBytes, elementCount, float32, type Tensor, tensorBytes, zeros } from '../tensor/tensor.ts';
import type { EncodedTensor } from './api.ts';
import type { ServedModel } from './models.ts';
import { invalid } from './problems.ts';

/** Fields of an event: images of each sample as files in base64, `images[sample][frame]`, and the first frame's number. */
export interface Pictures {
  first_frame: number;
  images: string[][];
}

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

/**
 * Decodes tokens (N, T, B, C) to pictures.
 * @param signal stops the work
 * @param block only the frames in which this block lies are decoded; an image is one frame
 */
export async function encodePictures(
  { config, decoder }: ServedModel,
  tokens: Tensor<'float32'>,
  { format, signal, block }: { format: ImageFormat; signal: AbortSignal; block?: number | undefined },
): Promise<Pictures> {
  const first = block === undefined ? 0 : Math.floor(frameCount(config, block));
  const shown =
    block === undefined ? tokens : framesBetween(config, tokens, first, frameCount(config, block + 1));
  const samples = framesOf(await decoder.decode(shown, { signal }));
  const encode = async (image: Image) => Buffer.from(await encodeImage(image, format)).toString('base64');
  const images = await Promise.all(samples.map((frames) => Promise.all(frames.map(encode))));
  return { first_frame: first, images };
}

/** Tokens (N, T, B, C) of the frames from `first` up to `end`, which may be within one, as one block. */
function framesBetween(
  config: AcditConfig,
  { shape, data }: Tensor<'float32'>,
  first: number,
  end: number,
): Tensor<'float32'> {
  const perFrame = tokensPerFrame(config);
  const [samples, blocks, blockSize, size] = take(shape, 4);
  const sequence = float32([samples, blocks * blockSize, size], data);
  const frames = sliceAxis(sequence, 1, first * perFrame, Math.ceil(end) * perFrame);
  return float32([samples, 1, at(frames.shape, 1), size], frames.data);
}

const LITTLE = endianness() === 'LE';

export function encodeTensor(value: Tensor<'float32'>): EncodedTensor {
  return { shape: [...value.shape], data: littleEndian(Buffer.from(tensorBytes(value))).toString('base64') };
}

/** @throws {ApiError} if there are fewer or more values than the shape has */
export function decodeTensor({ shape, data }: EncodedTensor, param: string): Tensor<'float32'> {
  const bytes = Buffer.from(data, 'base64');
  const expected = 4 * elementCount(shape);
  if (bytes.length !== expected) {
    invalid(param, `${param}: shape [${shape}] takes ${expected} bytes, got ${bytes.length}`);
  }
  return float32(shape, arrayFromBytes('float32', new Uint8Array(littleEndian(bytes))));
}

/** A copy with each value's bytes in the other order, where this machine is not little endian. */
function littleEndian(bytes: Buffer): Buffer {
  return LITTLE ? bytes : Buffer.from(bytes).swap32();
}
