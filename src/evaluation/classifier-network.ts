/** @file A classifier as a feature network: what it compares are the features of its last layer. */

import { createHash } from 'node:crypto';
import { take, uint8At } from '../at.ts';
import type { LoadedClassifier } from '../checkpoints/classifier.ts';
import { FormatError } from '../errors.ts';
import type { Channels } from '../media/image.ts';
import { compileClassifier } from '../models/classifier/compiled.ts';
import type { Device } from '../runtime/device.ts';
import { type Tensor, tensorBytes, zeros } from '../tensor/tensor.ts';
import type { FeatureNetwork } from './feature-network.ts';

const BATCH = 100;

/**
 * Prepare a classifier for evaluation. Images that are smaller than those it was trained on stand in the middle of a dark
 * frame, as in its training.
 */
export async function classifierNetwork(
  device: Device,
  { config, weights }: LoadedClassifier,
): Promise<FeatureNetwork> {
  const { channels, imageSize } = config;
  const classifier = await compileClassifier({ config, weights, device });
  return {
    name: `${config.name}-${fingerprint(weights)}`,
    channels: channels as Channels,
    classNames: config.classNames,
    batchSize: BATCH,
    extract: async (images) => classifier.classify(framed(images, imageSize, config.name)),
    dispose: () => classifier.dispose(),
  };
}

/** Two classifiers of one name must not be taken for one another. */
function fingerprint(weights: LoadedClassifier['weights']): string {
  const hash = createHash('sha256');
  for (const [name, value] of weights) hash.update(name).update(tensorBytes(value));
  return hash.digest('hex').slice(0, 8);
}

/** Bytes (N, H, W, C) to [-1, 1] as (N, C, side, side), centred, with black around. */
function framed({ shape, data }: Tensor<'uint8'>, side: number, name: string): Tensor<'float32'> {
  const [count, height, width, channels] = take(shape, 4);
  if (height > side || width > side) {
    throw new FormatError(
      `the network ${name} takes images of up to ${side} x ${side} pixels, got ${height} x ${width}`,
    );
  }
  const [top, left] = [Math.floor((side - height) / 2), Math.floor((side - width) / 2)];
  const out = zeros('float32', [count, channels, side, side]);
  out.data.fill(-1);
  let from = 0;
  for (let n = 0; n < count; n++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < channels; c++) {
          out.data[((n * channels + c) * side + top + y) * side + left + x] =
            uint8At(data, from++) / 127.5 - 1;
        }
      }
    }
  }
  return out;
}
