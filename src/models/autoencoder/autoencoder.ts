/**
 * @file AutoencoderKL (Rombach et al. 2022), the autoencoder of latent diffusion models: images to latents an eighth
 * as high and wide, and back. Images pass one after the other, and in strips; see planes.ts.
 */

import { at, take } from '../../at.ts';
import { ArgumentError, ShapeError } from '../../errors.ts';
import type { Device, Program } from '../../runtime/device.ts';
import { createSemaphore } from '../../semaphore.ts';
import { sliceAxis } from '../../tensor/axes.ts';
import { requireFinite } from '../../tensor/finite.ts';
import { elementCount, float32, type Tensor, zeros } from '../../tensor/tensor.ts';
import { type AutoencoderConfig, downsampling, validateAutoencoder } from './config.ts';
import { PlanePool, planeOf } from './planes.ts';
import { type CompiledStage, compileStage, type ParameterSource, STRIP_PIXELS } from './programs.ts';
import { beginsWithNorm, type Part, stagesOf } from './stages.ts';

/** A Gaussian for each latent, (N, latent channels, h, w) each. */
export interface LatentDistribution {
  readonly mean: Tensor<'float32'>;
  /** Clamped to [-30, 20], as in diffusers. */
  readonly logVariance: Tensor<'float32'>;
}

/** Cancellation and progress of encoding and decoding. */
export interface CodingOptions {
  readonly signal?: AbortSignal | undefined;
  /** Gets the share done, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/**
 * Encodes images to latents and decodes latents to images. Calls take turns, so that memory holds the planes of one
 * image.
 */
export interface Autoencoder {
  readonly config: AutoencoderConfig;
  /**
   * @param images (N, channels, H, W) in [-1, 1]; H and W multiples of the downsampling.
   * @throws {ShapeError} if they are not.
   */
  encode(images: Tensor<'float32'>, options?: CodingOptions): Promise<LatentDistribution>;
  /**
   * @param latents (N, latent channels, h, w), unscaled: what a diffusion model makes, over the scaling factor.
   * @returns images (N, channels, H, W), about in [-1, 1]
   * @throws {ShapeError} if they have another shape.
   */
  decode(latents: Tensor<'float32'>, options?: CodingOptions): Promise<Tensor<'float32'>>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/** What an autoencoder is made of. */
export interface AutoencoderOptions {
  readonly config: AutoencoderConfig;
  /** Read once, while the autoencoder is made. */
  readonly weights: ParameterSource;
  readonly device: Device;
  /** What it is to do; both by default. */
  readonly parts?: readonly Part[];
  /** Pixels that are worked on at a time, 8192 by default. Changes memory and speed, but no result. */
  readonly stripPixels?: number;
  readonly signal?: AbortSignal | undefined;
}

const LOG_VARIANCE_RANGE = [-30, 20] as const;

/** Compile an autoencoder with its weights, of which it keeps a copy. */
export async function createAutoencoder(options: AutoencoderOptions): Promise<Autoencoder> {
  const { parts = ['encoder', 'decoder'] } = options;
  const config = validateAutoencoder(options.config);
  const programs: Program[] = [];
  const dispose = async (): Promise<void> => {
    for (const program of programs.splice(0)) await program.dispose();
  };
  try {
    const walks: Partial<Record<Part, Walk>> = {};
    for (const part of parts) walks[part] = await compilePart(options, part, programs);
    return {
      config,
      async encode(images, coding = {}) {
        requireImages(config, images);
        requireFinite(images, 'encode: images');
        return splitMoments(await required(walks, 'encoder')(images, coding));
      },
      async decode(latents, coding = {}) {
        requireChannels('decode: latents', latents, config.latentChannels);
        requireFinite(latents, 'decode: latents');
        return required(walks, 'decoder')(latents, coding);
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Takes images (N, C, H, W) through one part, one after the other. */
type Walk = (pictures: Tensor<'float32'>, options: CodingOptions) => Promise<Tensor<'float32'>>;

/** @param programs gets what is compiled, also if it fails */
async function compilePart(options: AutoencoderOptions, part: Part, programs: Program[]): Promise<Walk> {
  const { device, config, weights: source, signal, stripPixels = STRIP_PIXELS } = options;
  const pool = new PlanePool();
  const context = { device, source, programs, pool, groups: config.groups, stripPixels };
  const stages = stagesOf(config, part);
  const [channels, factor] =
    part === 'encoder'
      ? [2 * config.latentChannels, 1 / downsampling(config)]
      : [config.outChannels, downsampling(config)];
  const compiled: CompiledStage[] = [];
  const exclusively = createSemaphore(1);
  for (const [i, stage] of stages.entries()) {
    signal?.throwIfAborted();
    compiled.push(await compileStage(context, stage, beginsWithNorm(stages[i + 1])));
  }
  const walk: Walk = async ({ shape, data }, { signal, onProgress }) => {
    signal?.throwIfAborted();
    const [count, , height, width] = take(shape, 4);
    const size = elementCount(shape.slice(1));
    const result = zeros('float32', [count, channels, height * factor, width * factor]);
    for (let n = 0; n < count; n++) {
      // A copy: stages hand their input back to the pool.
      let plane = planeOf(data.slice(n * size, (n + 1) * size), shape.slice(1));
      for (const [i, stage] of compiled.entries()) {
        plane = await stage(plane, signal);
        onProgress?.((n + (i + 1) / compiled.length) / count);
      }
      const whole = pool.recut(plane, plane.height);
      result.data.set(whole.data, n * whole.data.length);
      pool.give(whole);
    }
    return result;
  };
  return (...pictures) => exclusively(() => walk(...pictures));
}

function required(walks: Partial<Record<Part, Walk>>, part: Part): Walk {
  const walk = walks[part];
  if (walk) return walk;
  throw new ArgumentError(`this autoencoder was made without its ${part}; list it among the parts`);
}

function requireChannels(what: string, { shape, data }: Tensor<'float32'>, channels: number): void {
  if (shape.length === 4 && shape[1] === channels && data.length > 0) return;
  throw new ShapeError(`${what} must have shape [N, ${channels}, height, width], got [${shape}]`);
}

function requireImages(config: AutoencoderConfig, images: Tensor<'float32'>): void {
  requireChannels('encode: images', images, config.inChannels);
  const factor = downsampling(config);
  const [, , height, width] = take(images.shape, 4);
  if (height % factor === 0 && width % factor === 0) return;
  throw new ShapeError(`encode: height and width must be multiples of ${factor}, got ${height} x ${width}`);
}

/** Moments (N, 2C, h, w): means, then log variances. */
function splitMoments(moments: Tensor<'float32'>): LatentDistribution {
  const channels = at(moments.shape, 1);
  const { shape, data } = sliceAxis(moments, 1, channels / 2, channels);
  const [least, most] = LOG_VARIANCE_RANGE;
  const logVariance = data.map((value) => Math.min(Math.max(value, least), most));
  return { mean: sliceAxis(moments, 1, 0, channels / 2), logVariance: float32(shape, logVariance) };
}
