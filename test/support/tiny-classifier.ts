/** @file A small classifier for tests, which has learnt nothing. */

import type { LoadedClassifier } from '../../src/checkpoints/classifier.ts';
import { type ClassifierConfig, initializeClassifier } from '../../src/models/classifier/classifier.ts';
import { Generator } from '../../src/tensor/generator.ts';

/** A classifier of 8 x 8 grey pictures. */
export function tinyClassifier(classNames: readonly string[]): LoadedClassifier {
  const config: ClassifierConfig = {
    modelType: 'classifier',
    name: 'tiny',
    classNames,
    channels: 1,
    imageSize: 8,
    widths: [4, 5],
  };
  return { config, weights: initializeClassifier(config, new Generator(1)) };
}
