/** @file The sample grids of a training: always the same noise, so that steps can be compared. Clips also move. */

import { join } from 'node:path';
import { localDecoder, pixelDecoder } from '../decoding/decoder.ts';
import { framesOf } from '../media/frames.ts';
import { encodePng, enlarge, grid, type Image, writePng } from '../media/image.ts';
import { openVideoWriter } from '../media/video-writer.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { createSampler } from '../sampling/sampler.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import type { Recipe } from '../training/recipe.ts';
import { DEFAULT_FPS } from './clips.ts';
import { labelName } from './labels.ts';
import { labelledGrid, type NamedImage } from './pictures.ts';
import { sampleBatches } from './sample-batches.ts';

const MOST_CLASSES = 10;
/** Pictures; of clips one, whose frames take a row. */
const PER_CLASS = 4;
const BATCH = 8;
/** Of animations: pixels a clip to which small ones are enlarged, and clips a row. */
const ANIMATION_CELL = 64;
const ANIMATION_COLUMNS = 5;

export interface TrainingSampleOptions {
  readonly recipe: Recipe;
  readonly config: AcditConfig;
  readonly device: Device;
  readonly signal: AbortSignal;
}

/** Whether samples can be drawn: latents only with an autoencoder. */
export function canDraw({ recipe, config }: Pick<TrainingSampleOptions, 'recipe' | 'config'>): boolean {
  return config.space === 'pixels' || recipe.output.vae !== undefined;
}

/** Sample pictures, or the frames of clips one after the other, with the moving average of the weights. */
async function drawSamples(
  { recipe, config, device, signal }: TrainingSampleOptions,
  weights: Weights,
): Promise<NamedImage[]> {
  const classes = Math.min(config.classes, MOST_CLASSES);
  const perClass = config.frames > 1 ? 1 : PER_CLASS;
  const labels = Array.from({ length: classes * perClass }, (_, i) => Math.floor(i / perClass));
  const { sampleSteps: steps, cfg } = recipe.output;
  const { seed } = recipe.training;
  const { vae } = recipe.output;
  const decoder =
    vae === undefined ? pixelDecoder(config) : localDecoder({ config, vae, threads: device.threads }, signal);
  const sampler = await createSampler({ config, weights, device, signal });
  try {
    const request = { labels, steps, cfg, seed, solver: 'dpm-solver-plus-plus-2m', batch: BATCH } as const;
    const samples: NamedImage[] = [];
    for await (const latents of sampleBatches(sampler, request, { signal })) {
      for (const image of framesOf(await decoder.decode(latents)).flat()) {
        const sample = Math.floor(samples.length / config.frames);
        samples.push({ name: labelName(config, labels[sample]), image });
      }
    }
    return samples;
  } finally {
    await sampler.dispose();
    await decoder.close();
  }
}

/** Clips that play beside each other, given frame by frame, in a few columns. */
async function writeAnimation(path: string, frames: readonly Image[], perClip: number): Promise<void> {
  const factor = Math.max(1, Math.round(ANIMATION_CELL / frames[0].height));
  const pictures = Array.from({ length: perClip }, (_, t) => {
    const shown = frames.filter((_, i) => i % perClip === t).map((frame) => enlarge(frame, factor));
    return grid(shown, { columns: ANIMATION_COLUMNS, padding: 2 * factor });
  });
  const { width, height } = pictures[0];
  const writer = await openVideoWriter(path, { width, height, fps: DEFAULT_FPS });
  await writer.add(pictures);
  await writer.finish();
}

/**
 * Sample, write `samples/step-N.png` in the run's folder, of clips also an animated `step-N.webp`, and log the former.
 * Gives its path.
 */
export async function logSamples(
  options: TrainingSampleOptions,
  weights: Weights,
  step: number,
  tracker: Tracker,
): Promise<string> {
  const { recipe, config } = options;
  const samples = await drawSamples(options, weights);
  const image = labelledGrid(samples);
  const stem = join(recipe.output.folder, 'samples', `step-${String(step).padStart(8, '0')}`);
  const path = `${stem}.png`;
  await writePng(path, image);
  if (config.frames > 1) {
    const frames = samples.map((sample) => sample.image);
    await writeAnimation(`${stem}.webp`, frames, config.frames);
  }
  tracker.image(step, 'samples', await encodePng(image));
  return path;
}
