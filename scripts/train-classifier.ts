/**
 * @file Trains the bundled classifier of Fashion-MNIST, measures it on the test images, and writes it.
 * Usage: npm run train-classifier -- DATA_FOLDER MODEL_FOLDER [epochs] [threads]
 */

import { loadClassifier, saveClassifier } from '../src/checkpoints/classifier.ts';
import { openImages } from '../src/data/open.ts';
import { ArgumentError } from '../src/errors.ts';
import { type ClassifierConfig, compileClassifier } from '../src/models/classifier/classifier.ts';
import { openCpu } from '../src/runtime/node.ts';
import { classifierAccuracy, trainClassifier } from '../src/training/classifier.ts';

const [data, folder, epochs = '5', threads] = process.argv.slice(2);
if (!data || !folder) throw new ArgumentError('train-classifier: expected a data folder and a model folder');
const device = openCpu(threads === undefined ? {} : { threads: Number(threads) });
const images = { path: data, imageSize: 32, channels: 1 } as const;
const dataset = await openImages(images);
const config: ClassifierConfig = {
  modelType: 'classifier',
  name: 'fashion-mnist-classifier',
  classNames: dataset.classNames,
  channels: 1,
  imageSize: 32,
  widths: [24, 48, 96],
};
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
    warmupSteps: 200,
    weightDecay: 0.05,
    clip: 1,
    ema: 0.998,
    seed: 1,
    augmentation: { horizontalFlip: true, cropPadding: 1 },
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
