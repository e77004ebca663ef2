import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { AVATAR_STYLES } from '../scripts/avatars/styles.ts';
import { loadClassifier } from '../src/checkpoints/classifier.ts';
import { samplesFromImage } from '../src/media/image.ts';
import { readImage } from '../src/media/index.ts';
import { crop } from '../src/media/resize.ts';
import { compileClassifier, predictedClasses } from '../src/models/classifier/classifier.ts';
import { openCpu } from '../src/runtime/node.ts';
import { joinArrays } from '../src/tensor/axes.ts';
import { float32 } from '../src/tensor/tensor.ts';

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const FOLDER = pathOf('../models/avatars-classifier');
/** The first test images of each class, a row per class: `npm run avatars -- DIR 10 --first 2000000`. */
const IMAGES = pathOf('fixtures/avatars/grid.png');
const SIDE = 64;
const PER_CLASS = 10;

it('the classifier of avatars names images that it was not trained on', async () => {
  const classifier = await loadClassifier(FOLDER);
  const { classNames, testAccuracy } = classifier.config;
  expect(classNames).toEqual(AVATAR_STYLES.map(({ name }) => name).sort());
  expect(testAccuracy).toBeGreaterThan(0.99);
  expect(statSync(`${FOLDER}/model.safetensors`).size).toBeLessThan(0.5e6);

  const all = await readImage(IMAGES);
  const count = classNames.length * PER_CLASS;
  const images = Array.from({ length: count }, (_, i) =>
    samplesFromImage(crop(all, (i % PER_CLASS) * SIDE, Math.floor(i / PER_CLASS) * SIDE, SIDE, SIDE)),
  );
  const device = openCpu({ threads: 1 });
  const { classify } = await compileClassifier({ ...classifier, device });
  const { logits } = await classify(float32([count, 3, SIDE, SIDE], joinArrays('float32', images)));
  const right = predictedClasses(logits).filter((label, i) => label === Math.floor(i / PER_CLASS));
  expect(right.length).toBeGreaterThanOrEqual(0.98 * count);
  await device.dispose();
});
