/** @file The memory that decoding takes, from the sizes of what it holds. */

import { elementCount } from '../../tensor/tensor.ts';
import type { AutoencoderConfig } from './config.ts';
import { STRIP_PIXELS } from './programs.ts';
import { autoencoderParameters, type Stage, stagesOf } from './stages.ts';

const FLOAT = 4;
/** Weights that are bound to a program, in bytes of memory per byte of theirs. */
const BOUND = 1.4;
/** What is there of a strip at once, in strips of the widest stage: in, out, and a convolution's nine shifted copies. */
const STRIP_COPIES = 11;
/** Copies of a stage's planes that the pool keeps for later ones. */
const POOLED = 2;

/** Bytes at the peak while pictures of `height` x `width` latents are decoded, one after the other. */
export function decodingMemory(config: AutoencoderConfig, height: number, width: number): number {
  const shapes = [...autoencoderParameters(config, ['decoder']).values()];
  const weights = FLOAT * shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  const stages = stagesOf(config, 'decoder');
  const widest = Math.max(...stages.map(({ inputs }) => inputs));
  let pixels = height * width;
  let planes = 0;
  for (const stage of stages) {
    planes = Math.max(planes, FLOAT * pixels * valuesPerPixel(stage));
    if (stage.kind === 'convolution' && stage.resize === 'up') pixels *= 4;
  }
  const strips = FLOAT * STRIP_COPIES * widest * Math.min(pixels, STRIP_PIXELS);
  return BOUND * weights + POOLED * planes + strips;
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
