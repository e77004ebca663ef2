/**
 * @file Trains a bundled classifier, measures it on the test images, and writes it. The defaults are those of
 * Fashion-MNIST's; docs/results.md has the command of each classifier.
 * Usage: npm run train-classifier -- DATA_FOLDER MODEL_FOLDER [epochs (default: 5)] [threads] [--name NAME]
 *     [--size PIXELS] [--color] [--widths N,N,...] [--crop-padding PIXELS] [--ema DECAY]
 */

import { parseArgs } from 'node:util';
import { loadClassifier, saveClassifier } from '../src/checkpoints/classifier.ts';
import { openImages } from '../src/data/open.ts';
import { ArgumentError } from '../src/errors.ts';
import {
  type ClassifierConfig,
  compileClassifier,
  validateClassifier,
} from '../src/models/classifier/classifier.ts';
import { openCpu } from '../src/runtime/node.ts';
import { classifierAccuracy, trainClassifier } from '../src/training/classifier.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string', default: 'fashion-mnist-classifier' },
    size: { type: 'string', default: '32' },
    color: { type: 'boolean', default: false },
    widths: { type: 'string', default: '24,48,96' },
    /** Images are moved by up to this many pixels; black comes in from outside. */
    'crop-padding': { type: 'string', default: '1' },
    /** The moving average must forget the first weights: a short training needs a lower decay. */
    ema: { type: 'string', default: '0.998' },
  },
});
const [data, folder, epochs = '5', threads] = positionals;
if (!data || !folder) throw new ArgumentError('train-classifier: expected a data folder and a model folder');
const device = openCpu(threads === undefined ? {} : { threads: Number(threads) });
const imageSize = Number(values.size);
const channels = values.color ? 3 : 1;
const images = { path: data, imageSize, channels } as const;
const dataset = await openImages(images);
const config: ClassifierConfig = validateClassifier({
  modelType: 'classifier',
  name: values.name,
  classNames: dataset.classNames,
  channels,
  imageSize,
  widths: values.widths.split(',').map(Number),
});
const BATCH = 64;
const steps = Math.round((Number(epochs) * dataset.size) / BATCH);

let accuracy = 0;
const weights = await trainClassifier({
  config,
  dataset,
  device,
  training: {
    steps,
    batch: BATCH,
    learningRate: 3e-3,
    warmupSteps: Math.min(200, steps),
    weightDecay: 0.05,
    clip: 1,
    ema: Number(values.ema),
    seed: 1,
    augmentation: { horizontalFlip: true, cropPadding: Number(values['crop-padding']) },
  },
  onStep({ step, loss, accuracy: ofBatch }) {
    accuracy += (ofBatch - accuracy) / Math.min(step, 100);
    if (step % 50 === 0)
      console.log(`${step}/${steps}  loss ${loss.toFixed(3)}  accuracy ${accuracy.toFixed(3)}`);
  },
});
await saveClassifier(folder, { config, weights });
// As written, in half precision.
const classifier = await compileClassifier({ ...(await loadClassifier(folder)), device });
const testAccuracy = await classifierAccuracy(classifier, await openImages({ ...images, split: 'test' }));
await saveClassifier(folder, { config: { ...config, testAccuracy }, weights });
console.log(`${folder}: ${(100 * testAccuracy).toFixed(2)}% of the test images`);
await device.dispose();
