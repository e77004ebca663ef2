/**
 * @file Studies the trade-off between diffusion and autoregression: trains models that differ only in their number of
 * blocks for the same FLOPs, and measures the quality and cost of their samples. Can be interrupted and resumed.
 * Usage: npm run trade-off -- DATA_FOLDER OUT_FOLDER [teraflops per training] [images per class]
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadModel } from '../src/checkpoints/load.ts';
import { ArgumentError } from '../src/errors.ts';
import { openCpu } from '../src/runtime/node.ts';
import {
  acdit,
  GUIDANCE,
  LENGTHS,
  measureSampling,
  recipeFor,
  STEPS,
  type StudyResult,
  trainingFlops,
} from './trade-off/study.ts';

const missing = (): never => {
  throw new ArgumentError('trade-off: expected a data folder and a folder for the results');
};
const [data = missing(), out = missing(), teraflops = '20', perClass = '100'] = process.argv.slice(2);
/** Images whose sampling is timed: fewer if they take longer. */
const TIMED_IMAGES = 4;
const device = openCpu({ threads: 1 });
mkdirSync(out, { recursive: true });

/** The result of a step that is done once, kept as a JSON file. */
async function once<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = join(out, name);
  if (!existsSync(path)) writeFileSync(path, `${JSON.stringify(await work(), null, 2)}\n`);
  return JSON.parse(readFileSync(path, 'utf8'));
}

async function study(blocks: number): Promise<StudyResult> {
  const folder = join(out, `ar-${blocks}`);
  const recipe = recipeFor(blocks, Number(teraflops) * 1e12, data, folder);
  writeFileSync(`${folder}.json`, `${JSON.stringify(recipe, null, 2)}\n`);
  await acdit('train', `${folder}.json`, '--threads', '1');
  const { config, weights } = await loadModel(folder);
  const samples = `${folder}.npz`;
  const how = ['--steps', String(STEPS), '--cfg', String(GUIDANCE), '--seed', '0', '--batch', '50'];
  await acdit('sample', folder, '--npz', samples, '--per-class', perClass, ...how, '--threads', '1');
  const images = join(data, 't10k-images-idx3-ubyte.gz');
  const metrics = await once(`ar-${blocks}-metrics.json`, async () =>
    JSON.parse(
      await acdit('evaluate', images, samples, '--network', 'fashion-mnist', '--threads', '1', '--json'),
    ),
  );
  const sampling = await once(`ar-${blocks}-sampling.json`, () =>
    measureSampling(device, config, weights, TIMED_IMAGES),
  );
  const { steps, batch } = recipe.training;
  return {
    blocks,
    steps,
    images: steps * batch,
    trainingFlops: trainingFlops(config, steps),
    metrics,
    ...sampling,
  };
}

const results: StudyResult[] = [];
for (const blocks of LENGTHS) {
  results.push(await study(blocks));
  writeFileSync(join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
}
await device.dispose();
