/** @file The sample grids of a training: always the same noise, so that steps can be compared. Clips also move. */

import { join } from 'node:path';
import { at } from '../at.ts';
import { localDecoder, pixelDecoder } from '../decoding/decoder.ts';
import { encodePng, type Image, writePng } from '../media/image.ts';
import { framesOf } from '../media/pixels.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { createSampler } from '../sampling/sampler.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import { SAMPLES_FOLDER } from '../training/run-folder.ts';
import type { LoopOptions } from '../training/training-loop.ts';
import { type BatchedRequest, batchRequests } from './batches.ts';
import { labelName } from './labels.ts';
import type { ActiveContext } from './reporter.ts';
import { labelledGrid, type NamedImage, writeAnimatedGrid } from './sample-files.ts';

const MAX_CLASSES = 10;
/** Images; of clips one, whose frames take a row. */
const PER_CLASS = 4;
const BATCH = 8;

export type TrainingSampleOptions = Required<Pick<LoopOptions, 'recipe' | 'config' | 'device' | 'signal'>> &
  Pick<ActiveContext, 'report'>;

/** Whether samples can be drawn: latents only with an autoencoder. */
export function canDraw({ recipe, config }: Pick<TrainingSampleOptions, 'recipe' | 'config'>): boolean {
  return config.space === 'pixels' || recipe.output.vae !== undefined;
}

/** Samples batch after batch, and yields the decoded images of each: of videos, the frames one after the other. */
export async function* sampleImages(
  { recipe, config, device, signal, report }: TrainingSampleOptions,
  weights: Weights,
  request: BatchedRequest,
): AsyncGenerator<Image[], void, void> {
  const { vae } = recipe.output;
  const decoder =
    vae === undefined ? pixelDecoder(config) : localDecoder({ config, vae, threads: device.threads }, signal);
  const sampler = await createSampler({
    config,
    weights,
    device,
    signal,
    onFallback: ({ message }) => report.warn(message),
  });
  try {
    for (const batch of batchRequests(request, { signal })) {
      for await (const event of sampler.sample(batch)) {
        if (event.kind === 'done') yield framesOf(await decoder.decode(event.latents)).flat();
      }
    }
  } finally {
    await sampler.dispose();
    await decoder.close();
  }
}

/** Samples images, or the frames of videos one after the other, always from the same noise. */
async function drawSamples(options: TrainingSampleOptions, weights: Weights): Promise<NamedImage[]> {
  const { recipe, config } = options;
  const classes = Math.min(config.classes, MAX_CLASSES);
  const perClass = config.frames > 1 ? 1 : PER_CLASS;
  const labels = Array.from({ length: classes * perClass }, (_, i) => Math.floor(i / perClass));
  // Guided as the model is by default, which the recipe says.
  const request = { labels, steps: recipe.output.sampleSteps, seed: recipe.training.seed, batch: BATCH };
  const samples: NamedImage[] = [];
  for await (const images of sampleImages(options, weights, request)) {
    for (const image of images) {
      const sample = Math.floor(samples.length / config.frames);
      samples.push({ name: labelName(config, at(labels, sample)), image });
    }
  }
  return samples;
}

/**
 * Sample, write `samples/step-N.png` in the run's folder, of clips also an animated `step-N.webp`, and log the former.
 * Gives its path.
 * @param suffix of the names of files and of the image in logs
 */
export async function logSamples(
  options: TrainingSampleOptions,
  weights: Weights,
  step: number,
  tracker: Tracker,
  suffix = '',
): Promise<string> {
  const { recipe, config } = options;
  const samples = await drawSamples(options, weights);
  const image = labelledGrid(samples);
  const stem = join(recipe.output.folder, SAMPLES_FOLDER, `step-${String(step).padStart(8, '0')}${suffix}`);
  const path = `${stem}.png`;
  await writePng(path, image);
  if (config.frames > 1) {
    const frames = samples.map((sample) => sample.image);
    await writeAnimatedGrid(`${stem}.webp`, frames, config.frames);
  }
  tracker.image(step, `samples${suffix}`, await encodePng(image));
  return path;
}
