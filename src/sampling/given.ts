/** @file Images and videos to continue: the first blocks of them, as the model knows blocks. */

import { invalidOption } from '../invalid-option.ts';
import { type Image, samplesFromImage, withChannels } from '../media/pixels.ts';
import { centerCrop, shortSideCrop } from '../media/resize.ts';
import {
  type AcditConfig,
  frameCount,
  imageSize,
  tokenSize,
  tokensPerFrame,
} from '../models/acdit/config.ts';
import { framesLayout, patchify } from '../models/acdit/layout.ts';
import { joinAxis } from '../tensor/axes.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';

/** How much is kept of what is continued. */
export interface KeepOptions {
  /** Blocks to keep (default: all but one, or as many as there are frames for). */
  readonly keep?: number | undefined;
  /** Blocks of the result. */
  readonly blocks: number;
}

/** What is continued, and how it becomes latents. */
export interface GivenOptions extends KeepOptions {
  /** Names the file in messages. */
  readonly name: string;
  /** Encodes images (frames, C, H, W) in [-1, 1] to scaled latents, for a model of latents. */
  encode(images: Tensor<'float32'>): Promise<Tensor<'float32'>>;
}

/**
 * Returns the blocks (1, K, B, C) that are kept of an image or a video. No more frames are read than it takes.
 * @throws {ArgumentError} if there are too few frames, they are too small, or nothing would be left to make.
 */
export async function givenFromFrames(
  config: AcditConfig,
  source: AsyncIterable<Image> | Iterable<Image>,
  options: GivenOptions,
): Promise<Tensor<'float32'>> {
  const { name, blocks } = options;
  const most = Math.min(options.keep ?? blocks - 1, blocks);
  const frames: Image[] = [];
  for await (const frame of source) {
    frames.push(fitted(config, frame, name));
    if (frames.length >= framesOf(config, most)) break;
  }
  const keep = options.keep ?? wholeBlocks(config, frames.length);
  requireEnough(config, name, keep, frames.length);
  requireRest(config, keep, blocks);
  const images = stack(frames);
  return firstBlocks(config, config.space === 'latents' ? await options.encode(images) : images, keep);
}

/** @throws {ArgumentError} if nothing is left to make. */
export function requireRest({ frames }: AcditConfig, keep: number, blocks: number): void {
  if (keep < blocks) return;
  throw invalidOption(
    'keep',
    `${keep} leaves nothing to make of ${blocks} blocks; keep fewer${frames > 1 ? ', or give more --blocks' : ''}`,
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
