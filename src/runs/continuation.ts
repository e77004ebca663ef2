/** @file Reads images and videos to continue: their first blocks, as the model knows blocks. */

import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { videoFrames } from '../data/videos/clip.ts';
import { requireFitting } from '../decoding/decoder.ts';
import { closingAfter } from '../io/byte-source.ts';
import { type Image, samplesFromImage, withChannels } from '../media/image.ts';
import { centerCrop, shortSideCrop } from '../media/resize.ts';
import {
  type AcditConfig,
  frameCount,
  imageSize,
  tokenSize,
  tokensPerFrame,
} from '../models/acdit/config.ts';
import { framesLayout, patchify } from '../models/acdit/layout.ts';
import { createAutoencoder } from '../models/autoencoder/autoencoder.ts';
import { openCpu } from '../runtime/node.ts';
import { joinAxis } from '../tensor/axes.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { invalidOption } from './checks.ts';

/** What is continued, and how much of it is kept. */
export interface Continuation {
  /** An image, a video, or a folder of frames. */
  readonly path: string;
  /** Blocks to keep (default: all but one, or as many as there are frames for). */
  readonly keep: number | undefined;
  /** Blocks of the result. */
  readonly blocks: number;
  /** Folder of the autoencoder, for a model of latents. */
  readonly vae: string | undefined;
  readonly threads: number;
  readonly signal: AbortSignal;
}

/**
 * Reads the blocks (1, K, B, C) that are kept of an image or a video.
 * @throws {ArgumentError} if there are too few frames, they are too small, or nothing would be left to make.
 * @throws {FormatError} if the file cannot be read.
 */
export async function readGiven(config: AcditConfig, options: Continuation): Promise<Tensor<'float32'>> {
  const { path, blocks, signal } = options;
  const most = Math.min(options.keep ?? blocks - 1, blocks);
  const frames: Image[] = [];
  for await (const frame of videoFrames(path, { signal })) {
    frames.push(fitted(config, frame, path));
    if (frames.length >= framesOf(config, most)) break;
  }
  const keep = options.keep ?? wholeBlocks(config, frames.length);
  requireEnough(config, path, keep, frames.length);
  if (keep >= blocks) {
    throw invalidOption(
      'keep',
      `${keep} leaves nothing to make of ${blocks} blocks; keep fewer${config.frames > 1 ? ', or give more --blocks' : ''}`,
    );
  }
  const images = stack(frames);
  return firstBlocks(
    config,
    config.space === 'latents' ? await encoded(config, images, options) : images,
    keep,
  );
}

/** Returns the number of frames that contain some of the first blocks. */
function framesOf(config: AcditConfig, blocks: number): number {
  return config.frames === 1 ? 1 : Math.ceil(frameCount(config, blocks));
}

/** Returns the number of blocks that frames fill; an image is whole, but its last block is to be made. */
function wholeBlocks(config: AcditConfig, frames: number): number {
  if (config.frames === 1) return config.blocks - 1;
  return Math.floor((frames * tokensPerFrame(config)) / config.blockSize);
}

function requireEnough(config: AcditConfig, path: string, keep: number, frames: number): void {
  const needed = framesOf(config, Math.max(keep, 1));
  if (keep >= 1 && frames >= needed) return;
  throw invalidOption(
    'continue',
    `${path}: ${Math.max(keep, 1)} blocks are ${needed} frames, and it has ${frames}; ` +
      'give a longer clip, or keep fewer blocks with --keep',
  );
}

/** Returns a frame in the model's channels and size, cropped like those that it was trained on. */
function fitted(config: AcditConfig, frame: Image, path: string): Image {
  const { width, height } = imageSize(config);
  const image = withChannels(frame, config.space === 'pixels' && config.channels === 1 ? 1 : 3);
  if (image.width === width && image.height === height) return image;
  if (image.width < width || image.height < height) {
    throw invalidOption(
      'continue',
      `${path}: is ${image.width} x ${image.height} pixels, and the model makes ${width} x ${height}; give a larger one`,
    );
  }
  if (width !== height) {
    throw invalidOption(
      'continue',
      `${path}: is ${image.width} x ${image.height} pixels; this model needs exactly ${width} x ${height}`,
    );
  }
  return config.frames > 1 ? shortSideCrop(image, width) : centerCrop(image, width);
}

/** Returns images as (frames, C, H, W) in [-1, 1]. */
function stack(images: readonly Image[]): Tensor<'float32'> {
  const samples = images.map((image) =>
    float32([1, image.channels, image.height, image.width], samplesFromImage(image)),
  );
  return joinAxis(samples, 0);
}

/** Returns the means of the images' latents, scaled as the model knows them. */
async function encoded(
  config: AcditConfig,
  images: Tensor<'float32'>,
  { vae, threads, signal }: Continuation,
): Promise<Tensor<'float32'>> {
  if (vae === undefined) {
    throw invalidOption('continue', 'needs the autoencoder of a model of latents; give --vae DIR');
  }
  return closingAfter(openCpu({ threads }), async (device) =>
    closingAfter(await openAutoencoder(vae), async (stored) => {
      await requireFitting(config, stored, vae);
      const autoencoder = await createAutoencoder({ ...stored, device, parts: ['encoder'], signal });
      const { shape, data } = (await autoencoder.encode(images, { signal })).mean;
      const scaled = data.map((value) => value * stored.config.scalingFactor);
      return float32(shape, scaled);
    }),
  );
}

/** Returns the first blocks (1, K, B, C) of (frames, C, H, W). */
function firstBlocks(
  config: AcditConfig,
  { shape, data }: Tensor<'float32'>,
  keep: number,
): Tensor<'float32'> {
  const [frames = 0] = shape;
  const tokens = patchify(framesLayout(config, frames), float32([1, ...shape], data));
  const blocks = [1, keep, config.blockSize, tokenSize(config)];
  return float32(blocks, tokens.data.slice(0, elementCount(blocks)));
}
