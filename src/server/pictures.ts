/** @file Latents on their way to clients: as pictures, whole or not finished yet, and as tensors in JSON. */

import { endianness } from 'node:os';
import { take } from '../at.ts';
import { encodeImage, type Image, type ImageFormat } from '../media/image.ts';
import { framesOf } from '../media/pixels.ts';
import { type AcditConfig, frameCount, tokenSize, tokensPerFrame } from '../models/acdit/config.ts';
import { joinAxis } from '../tensor/axes.ts';
import { arrayFromBytes, elementCount, float32, type Tensor, tensorBytes, zeros } from '../tensor/tensor.ts';
import type { EncodedTensor } from './api.ts';
import type { ServedModel } from './models.ts';
import { invalid } from './problems.ts';

/** Images of each sample: `images[sample][frame]`. */
export interface Pictures {
  /** The first of the frames, in the clip. */
  readonly firstFrame: number;
  readonly images: readonly (readonly Image[])[];
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

/** Decodes the frames in which a block lies; an image is one frame. @param client stops the work */
export async function picturesAt(
  model: ServedModel,
  tokens: Tensor<'float32'>,
  block: number,
  client: AbortSignal,
): Promise<Pictures> {
  const { config } = model;
  if (config.frames === 1) return wholePictures(model, tokens, client);
  const perFrame = tokensPerFrame(config);
  const first = Math.floor(frameCount(config, block));
  const end = Math.ceil(frameCount(config, block + 1));
  return {
    firstFrame: first,
    images: await decode(model, framesBetween(tokens, perFrame, first, end), client),
  };
}

/** Decodes whole samples. @param client stops the work */
export async function wholePictures(
  model: ServedModel,
  tokens: Tensor<'float32'>,
  client: AbortSignal,
): Promise<Pictures> {
  return { firstFrame: 0, images: await decode(model, tokens, client) };
}

async function decode(
  { decoder }: ServedModel,
  tokens: Tensor<'float32'>,
  signal: AbortSignal,
): Promise<Image[][]> {
  return framesOf(await decoder.decode(tokens, { signal }));
}

/** Tokens (N, T, B, C) of some frames, as one block. */
function framesBetween(
  { shape, data }: Tensor<'float32'>,
  perFrame: number,
  first: number,
  end: number,
): Tensor<'float32'> {
  const [samples, , , size] = take(shape, 4);
  const whole = data.length / samples;
  const [from, to] = [first * perFrame * size, end * perFrame * size];
  const parts = Array.from({ length: samples }, (_, n) =>
    float32([1, 1, (end - first) * perFrame, size], data.subarray(n * whole + from, n * whole + to)),
  );
  return joinAxis(parts, 0);
}

/** The same as files in base64. */
export async function encodePictures({ images }: Pictures, format: ImageFormat): Promise<string[][]> {
  return Promise.all(images.map((frames) => Promise.all(frames.map((frame) => encodeBase64(frame, format)))));
}

async function encodeBase64(image: Image, format: ImageFormat): Promise<string> {
  return Buffer.from(await encodeImage(image, format)).toString('base64');
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
