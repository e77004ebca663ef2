/** @file Random changes to training samples that leave the class as it is. */

import { at, float32At, take } from '../at.ts';
import type { Generator } from '../tensor/generator.ts';
import type { SampleShape } from './dataset.ts';

/** Random changes to the images of a batch. */
export interface Augmentation {
  /** Mirror half of the images left to right. Default false. */
  readonly horizontalFlip?: boolean;
  /** Pad by this many pixels on each side and cut the original size out at a random place. Default 0. */
  readonly cropPadding?: number;
  /** Value of padded pixels; default -1 (black). */
  readonly cropFill?: number;
}

/**
 * One sample (frames, C, H, W) changed as the generator decides, all frames alike; the same array if nothing changes. For each
 * sample one uniform number is drawn for the flip and two integers for the crop, each only if asked for.
 */
export function augment(
  values: Float32Array,
  shape: SampleShape,
  options: Augmentation,
  generator: Generator,
): Float32Array {
  const { horizontalFlip = false, cropPadding = 0, cropFill = -1 } = options;
  let out = values;
  if (horizontalFlip && at(generator.rand(1), 0) < 0.5) out = flipHorizontally(out, shape);
  if (cropPadding > 0) {
    const [down, right] = take(generator.randint(-cropPadding, cropPadding + 1, 2), 2);
    out = shift(out, shape, down, right, cropFill);
  }
  return out;
}

/** Mirrored left to right. */
export function flipHorizontally(values: Float32Array, [, , , width]: SampleShape): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < values.length; row += width) {
    for (let x = 0; x < width; x++) out[row + x] = float32At(values, row + width - 1 - x);
  }
  return out;
}

/** Moved down and right (negative: up and left); what comes in from outside is `fill`. */
export function shift(
  values: Float32Array,
  [frames, channels, height, width]: SampleShape,
  down: number,
  right: number,
  fill: number,
): Float32Array {
  const out = new Float32Array(values.length).fill(fill);
  const kept = width - Math.abs(right);
  if (kept <= 0) return out;
  for (let plane = 0; plane < frames * channels; plane++) {
    for (let y = Math.max(down, 0); y < Math.min(height + down, height); y++) {
      const from = (plane * height + y - down) * width + Math.max(-right, 0);
      out.set(values.subarray(from, from + kept), (plane * height + y) * width + Math.max(right, 0));
    }
  }
  return out;
}
