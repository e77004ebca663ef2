/** @file The memory that decoding takes, from the sizes of what it holds; checked against measured peaks. */

import { elementCount } from '../../tensor/tensor.ts';
import type { AutoencoderConfig } from './config.ts';
import { STRIP_PIXELS } from './programs.ts';
import { autoencoderParameters, type Stage, stagesOf } from './stages.ts';

const FLOAT = 4;
/** Bytes per byte of the weights: as programs arrange them, and the copies that these were made from, collected late. */
const BOUND = 2;
/** What is there of a strip at once, in strips of a stage's input: in, out, and a convolution's nine shifted copies. */
const STRIP_COPIES = 11;

/**
 * Bytes at the peak while images of `height` x `width` latents are decoded, one after the other; those of a process that
 * does nothing are not among them. Stable Diffusion's autoencoder took these on Node, in MB of maximal resident memory above
 * the 137 MB of a decoder of nearly no size (the least and the most of several processes, a busy machine collecting later):
 *
 * | picture | computed | measured |
 * | --- | --- | --- |
 * | 128 x 128 | 522 | 453 to 525 |
 * | 256 x 256 | 715 | 629 to 754 |
 * | 512 x 512 | 1117 | 1120 to 1335 |
 * | 768 x 768 | 1788 | 1736 |
 */
export function decodingMemory(config: AutoencoderConfig, height: number, width: number): number {
  const shapes = [...autoencoderParameters(config, ['decoder']).values()];
  const weights = FLOAT * shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  let pixels = height * width;
  let planes = 0;
  let strips = 0;
  for (const stage of stagesOf(config, 'decoder')) {
    planes = Math.max(planes, FLOAT * pixels * valuesPerPixel(stage));
    if (stage.kind === 'convolution' && stage.resize === 'up') pixels *= 4;
    strips = Math.max(strips, FLOAT * STRIP_COPIES * stage.inputs * Math.min(pixels, STRIP_PIXELS));
  }
  return BOUND * weights + planes + strips;
}

/** Values that a stage holds for each pixel of its input: what comes in, what goes out, and what is between. */
function valuesPerPixel(stage: Stage): number {
  switch (stage.kind) {
    case 'convolution':
      return stage.inputs + stage.outputs * (stage.resize === 'up' ? 4 : 1);
    case 'residual':
      return stage.inputs + 2 * stage.outputs;
    case 'attention':
      return 4 * stage.inputs;
  }
}
