/**
 * @file Shows whether an image model repeats its training images: draws samples, each next to the training image that is
 * nearest to it in pixels, and prints how far they are. Images that the model was not trained on, if given, are measured
 * too: if samples are nearer than these, the model has memorized images.
 *
 *     npm run nearest -- MODEL DATA OUT.png [--held-out DATA] [--count 64] [--seed 1] [--threads 1]
 */

import { parseArgs } from 'node:util';
import { at } from '../src/at.ts';
import { openModel, weightSource } from '../src/checkpoints/load.ts';
import { findTunedSolver } from '../src/checkpoints/tuned-solver.ts';
import { openImages } from '../src/data/open.ts';
import { ArgumentError } from '../src/errors.ts';
import { closingAfter } from '../src/io/byte-source.ts';
import {
  grid,
  type Image,
  imageFromSamples,
  samplesFromImage,
  sideBySide,
  writePng,
} from '../src/media/image.ts';
import { framesOf } from '../src/media/pixels.ts';
import type { AcditConfig } from '../src/models/acdit/config.ts';
import { unpatchify } from '../src/models/acdit/layout.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import { type Neighbour, nearestTo } from './nearest/nearest.ts';
import { evenSamples } from './samplers/even-samples.ts';

/** Pairs per row, and samples that are made at once. */
const [COLUMNS, BATCH] = [8, 16];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'held-out': { type: 'string' },
    count: { type: 'string', default: '64' },
    seed: { type: 'string', default: '1' },
    threads: { type: 'string', default: '1' },
  },
});
const missing = (): never => {
  throw new ArgumentError('nearest: expected a model, its training data, and a PNG file to write');
};
const [name = missing(), data = missing(), out = missing()] = positionals;
const [count, seed] = [Number(values.count), Number(values.seed)];

/** Makes samples of all classes in turn, with the model's default sampler. */
async function makeSamples(): Promise<{ config: AcditConfig; samples: Image[] }> {
  const device = openCpu({ threads: Number(values.threads) });
  const model = await openModel(name);
  return closingAfter(model.archive, async () => {
    const { config } = model;
    if (config.space !== 'pixels' || config.frames > 1) {
      throw new ArgumentError(`nearest: ${name} does not make images in pixels`);
    }
    const tuned = await findTunedSolver(model);
    const sampler = await createSampler({ config, tuned, weights: weightSource(model), device });
    const samples: Image[] = [];
    for (let first = 0; first < count; first += BATCH) {
      const size = Math.min(BATCH, count - first);
      const labels = Array.from({ length: size }, (_, i) => (first + i) % config.classes);
      const latents = await finalLatents(sampler.sample({ labels, seed, first }));
      samples.push(...framesOf(unpatchify(config, latents)).flat());
    }
    await device.dispose();
    return { config, samples };
  });
}

function describe(what: string, neighbours: readonly Neighbour[]): string {
  const distances = neighbours.map(({ distance }) => distance).sort((a, b) => a - b);
  const quantile = (share: number): string => at(distances, Math.floor(share * distances.length)).toFixed(3);
  return `${what}: nearest ${quantile(0)}, lowest tenth ${quantile(0.1)}, median ${quantile(0.5)}`;
}

const { config, samples } = await makeSamples();
const reading = { imageSize: config.height, channels: config.channels === 1 ? 1 : 3 } as const;
const training = await openImages({ path: data, ...reading });
const heldOut = values['held-out'];
const others =
  heldOut === undefined ? [] : await evenSamples(await openImages({ path: heldOut, ...reading }), count);
const wanted = [...samples.map(samplesFromImage), ...others.map((other) => other.values)];
const found = await nearestTo(wanted, training);
const pairs = samples.map((sample, i) => {
  const { values: nearest } = at(found, i);
  return sideBySide([sample, imageFromSamples(nearest, training.sampleShape.slice(1))]);
});
await writePng(out, grid(pairs, { columns: COLUMNS, padding: 6 }));
console.log('root mean square distance of pixels (values from -1 to 1) to the nearest training image:');
console.log(describe(`${count} samples`, found.slice(0, count)));
if (others.length > 0) console.log(describe(`${others.length} held-out images`, found.slice(count)));
