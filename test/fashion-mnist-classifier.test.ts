import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadClassifier } from '../src/checkpoints/classifier.ts';
import { loadModel } from '../src/checkpoints/load.ts';
import { loadIdxDataset } from '../src/data/idx-dataset.ts';
import { extractFeatures } from '../src/evaluation/extract.ts';
import { classifierNetwork } from '../src/evaluation/feature-network.ts';
import { datasetSource, openIdxSource } from '../src/evaluation/idx-source.ts';
import { labelAccuracy } from '../src/evaluation/logit-scores.ts';
import { openCpu } from '../src/runtime/node.ts';

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const FOLDER = pathOf('../models/fashion-mnist-classifier');
/** Every 50th of the 10,000 test images of Fashion-MNIST. */
const IMAGES = pathOf('fixtures/fashion-mnist/t10k-images-idx3-ubyte.gz');

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

describe('the classifier that is shipped', () => {
  it('names test images as well as it says, padded or not', async () => {
    const classifier = await loadClassifier(FOLDER);
    const network = await classifierNetwork(device, classifier);
    const set = await extractFeatures(device, network, await openIdxSource(IMAGES));
    const { accuracy } = labelAccuracy(set.logits!, set.labels!);
    expect(classifier.config.testAccuracy).toBeGreaterThan(0.91);
    // 200 images: a standard error of 2%.
    expect(Math.abs(accuracy - classifier.config.testAccuracy!)).toBeLessThan(0.04);

    const padded = await datasetSource(await loadIdxDataset(IMAGES, { imageSize: 32 }));
    expect(padded.shape).toEqual([32, 32, 1]);
    expect((await extractFeatures(device, network, padded)).features).toEqual(set.features);
  });

  it('is small, and of the classes of the bundled image model', async () => {
    expect(statSync(`${FOLDER}/model.safetensors`).size).toBeLessThan(2e6);
    const { config } = await loadModel(pathOf('../models/fashion-mnist'));
    expect((await loadClassifier(FOLDER)).config.classNames).toEqual(config.classNames);
  });
});
