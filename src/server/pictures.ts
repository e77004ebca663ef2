/** @file Latents on their way to clients: as images, whole or not finished yet, and as tensors in JSON. */

import { endianness } from 'node:os';
import { encodeImage, type Image, type ImageFormat } from '../media/image.ts';
import { framesOf } from '../media/pixels.ts';
import { framesOfBlock } from '../sampling/sketch.ts';
import { arrayFromBytes, elementCount, float32, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import type { EncodedTensor } from './api.ts';
import type { ServedModel } from './models.ts';
import { invalid } from './problems.ts';

/** Fields of an event: images of each sample as files in base64, `images[sample][frame]`, and the first frame's number. */
export interface Pictures {
  first_frame: number;
  images: string[][];
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
  const { first, tokens: shown } =
    block === undefined ? { first: 0, tokens } : framesOfBlock(config, tokens, block);
  const samples = framesOf(await decoder.decode(shown, { signal }));
  const encode = async (image: Image) => Buffer.from(await encodeImage(image, format)).toString('base64');
  const images = await Promise.all(samples.map((frames) => Promise.all(frames.map(encode))));
  return { first_frame: first, images };
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
