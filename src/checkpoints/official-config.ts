/** @file The configuration of an official checkpoint: sizes from its tensors, the layout from the trainer's arguments. */

import { CheckpointError } from '../errors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import type { TorchNamespace, TorchValue } from '../formats/torch/checkpoint.ts';
import { printable } from '../io/printable.ts';
import { type AcditConfig, PAPER_DOWNSAMPLING, validateConfig } from '../models/acdit/config.ts';
import { HEAD_SIZE } from '../models/acdit/weights.ts';

/** The part of the trainer's arguments that is read. */
export type Arguments = TorchNamespace['attributes'];

/**
 * How a model divides its images into tokens and blocks, which no tensor shows. What a checkpoint states itself takes
 * precedence.
 */
export interface CheckpointLayout {
  /** Side of the patch that makes one token. */
  readonly patch?: number | undefined;
  /** Tokens per block. */
  readonly blockSize?: number | undefined;
  /** Blocks in the sequence: the autoregressive length. */
  readonly blocks?: number | undefined;
  /** Frames of a video (default: 1). */
  readonly frames?: number | undefined;
}

/** The trainer's name of each part of a layout. */
const LAYOUT_ARGUMENTS = {
  patch: 'patch_size',
  blockSize: 'block_size',
  blocks: 'ar_len',
  frames: 'num_frames',
} as const satisfies Record<keyof CheckpointLayout, string>;

/** Parts of a layout that must be known. */
const REQUIRED = ['patch', 'blockSize', 'blocks'] as const;

/**
 * Completes the arguments with the caller's layout where they do not state it.
 * @throws {CheckpointError} naming what neither states.
 */
export function completeArguments(args: Arguments, layout: CheckpointLayout, name: string): Arguments {
  if (REQUIRED.every((part) => !isAbsent(args.get(LAYOUT_ARGUMENTS[part])))) return args;
  const complete = new Map(args);
  for (const [part, key] of Object.entries(LAYOUT_ARGUMENTS)) {
    const value = layout[part as keyof CheckpointLayout];
    if (value !== undefined && isAbsent(complete.get(key))) complete.set(key, value);
  }
  const missing = REQUIRED.map((part) => LAYOUT_ARGUMENTS[part]).filter((key) => isAbsent(complete.get(key)));
  if (missing.length === 0) return complete;
  throw new CheckpointError(
    `${name}: does not state ${missing.join(', ')}, which cannot be read from its tensors; give ` +
      `${missing.map((key) => `--${key.replace('_', '-')} N`).join(' ')} (in the library, the option \`layout\`)`,
  );
}

function isAbsent(value: TorchValue | undefined): boolean {
  return value === undefined || value === null;
}

function wholeNumber(args: Arguments, key: string, name: string, fallback?: number): number {
  const value = args.get(key) ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new CheckpointError(
      `${name}: args.${key} should be a whole number above 0, got ${printable(args.get(key))}`,
    );
  }
  return value;
}

/** `nd_split` is null, a list, or a string such as "2_3_3". */
function positionSplit(args: Arguments, name: string, isVideo: boolean): number[] {
  const value = args.get('nd_split');
  if (value === undefined || value === null) return isVideo ? [2, 3, 3] : [1, 1];
  const parts = typeof value === 'string' ? value.split('_') : Array.isArray(value) ? [...value] : [];
  const numbers = parts.map((part) => (typeof part === 'object' ? Number.NaN : Number(part)));
  if (numbers.length === 0 || numbers.some((part) => !Number.isSafeInteger(part) || part < 1)) {
    throw new CheckpointError(`${name}: args.nd_split should be like 1_1 or 2_3_3, got ${printable(value)}`);
  }
  return numbers;
}

/** The official code makes square images only. */
function squareSide(tokens: number, name: string): number {
  const side = Math.sqrt(tokens);
  if (Number.isSafeInteger(side)) return side;
  throw new CheckpointError(
    `${name}: block_size x ar_len / num_frames must be the square of a whole number, the tokens of a square image; ` +
      `got ${tokens}`,
  );
}

/**
 * Returns the configuration of a model. The name in `args.model` may be in no registry, so sizes are read from the
 * tensors.
 * @throws {CheckpointError} if a tensor or an argument is missing or not valid; {ConfigError} if they do not fit
 * together.
 */
export function officialConfig(
  args: Arguments,
  archive: Pick<TensorArchive, 'names' | 'has' | 'info'>,
  name: string,
): AcditConfig {
  const shapeOf = (parameter: string): readonly number[] => {
    if (archive.has(parameter)) return archive.info(parameter).shape;
    throw new CheckpointError(`${name}: not an ACDiT: '${parameter}' is missing`);
  };
  const layers = new Set(archive.names.flatMap((key) => /^blocks\.(\d+)\./.exec(key)?.[1] ?? [])).size;
  const [hidden = 0, tokenSize = 0] = shapeOf('x_embedder.weight');
  const [mlp = 0] = shapeOf('blocks.0.mlp.fc1.weight');
  const [labels = 0] = shapeOf('y_embedder.embedding_table.weight');
  const [head = 0] = archive.has('blocks.0.attn.q_norm.weight')
    ? shapeOf('blocks.0.attn.q_norm.weight')
    : [HEAD_SIZE];
  const patch = wholeNumber(args, 'patch_size', name);
  const downsampling = wholeNumber(args, 'vae_patch_pixels', name, PAPER_DOWNSAMPLING);
  const frames = wholeNumber(args, 'num_frames', name, 1);
  const blockSize = wholeNumber(args, 'block_size', name);
  const blocks = wholeNumber(args, 'ar_len', name);
  const side = isAbsent(args.get('image_size'))
    ? patch * squareSide((blockSize * blocks) / frames, name)
    : wholeNumber(args, 'image_size', name) / downsampling;
  const split = positionSplit(args, name, frames > 1);
  const squareBlocks = args.get('square_block');
  return validateConfig({
    modelType: 'acdit',
    layers,
    hidden,
    heads: hidden / head,
    mlpRatio: mlp / hidden,
    classes: labels - 1,
    space: 'latents',
    channels: tokenSize / patch ** 2,
    frames,
    ...(downsampling !== PAPER_DOWNSAMPLING && { downsampling }),
    height: side,
    width: side,
    patch,
    blockSize,
    blocks,
    squareBlocks: typeof squareBlocks === 'boolean' ? squareBlocks : frames === 1,
    positionSplit: split,
  });
}
