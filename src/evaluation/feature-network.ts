/** @file The networks whose features an evaluation compares: Inception, I3D and classifiers. */

import { createHash, type Hash } from 'node:crypto';
import { take, uint8At } from '../at.ts';
import type { LoadedClassifier } from '../checkpoints/classifier.ts';
import type { StoredI3d } from '../checkpoints/i3d.ts';
import { FormatError } from '../errors.ts';
import type { Channels } from '../media/image.ts';
import { compileClassifier } from '../models/classifier/classifier.ts';
import { type ClipResizing, createI3d, preprocessClips } from '../models/i3d/i3d.ts';
import { createInception, type InceptionWeights, type Preprocessing } from '../models/inception/inception.ts';
import type { Device } from '../runtime/device.ts';
import { type Tensor, tensorBytes, zeros } from '../tensor/tensor.ts';
import { FID_NETWORKS, FVD_NETWORK, type Protocol } from './evaluation-set.ts';

/** A network that turns samples, such as images, into features. */
export interface FeatureNetwork {
  /** What the features are of, as the text `network` of a file of features says it. */
  readonly name: string;
  /** Grey or RGB samples; others are converted. */
  readonly channels: Channels;
  /** Clips (N, T, H, W, C) rather than images. */
  readonly takesClips?: boolean;
  /** How samples are prepared, where the metrics depend on it. */
  readonly protocol?: Protocol;
  /** The classes of a classifier's logits, in order, if samples' labels are meant for it. */
  readonly classNames?: readonly string[];
  /** Batch size; a set's last batch is filled up. */
  readonly batchSize: number;
  /**
   * What the network says of samples.
   * @param samples of 8 bits, the channels last: (N, H, W, C) of images.
   */
  extract(samples: Tensor<'uint8'>): Promise<ExtractedFeatures>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/** What a network says of N samples. */
export interface ExtractedFeatures {
  /** (N, D) */
  readonly features: Tensor<'float32'>;
  /** Logits of a classifier (N, classes), for the Inception Score. */
  readonly logits?: Tensor<'float32'>;
  /** Features (N, D') of a layer that still knows places, whose statistics alone are compared (sFID). */
  readonly spatial?: Tensor<'float32'>;
}

/** Images whose intermediate values still fit the processor's cache. */
const INCEPTION_BATCH = 4;

/** Prepare the network, whose weights are copied. */
export async function inceptionNetwork(
  device: Device,
  weights: InceptionWeights,
  preprocessing: Preprocessing = 'adm',
): Promise<FeatureNetwork> {
  const hash = createHash('sha256');
  const hashed = <T extends Tensor>(value: T): T => {
    hash.update(tensorBytes(value));
    return value;
  };
  const inception = await createInception(device, {
    classifier: async () => hashed(await weights.classifier()),
    async convolution(layer) {
      const { weight, bias } = await weights.convolution(layer);
      return { weight: hashed(weight), bias: hashed(bias) };
    },
  });
  return {
    name: FID_NETWORKS[preprocessing],
    protocol: { weights: fingerprint(hash) },
    channels: 3,
    batchSize: INCEPTION_BATCH,
    extract: (images) => inception.extract(images, preprocessing),
    dispose: () => inception.dispose(),
  };
}

/** Clips at once: one alone leaves the small convolutions of the last layers slow, and more take 90 MB each. */
const I3D_BATCH = 4;

/**
 * Prepare I3D, whose weights are copied, for clips of this many frames.
 * @throws {ArgumentError} if there are fewer frames than 9; {CheckpointError} if a weight has another shape.
 */
export async function i3dNetwork(
  device: Device,
  { parameters, epsilon }: StoredI3d,
  { frames, resizing }: { readonly frames: number; readonly resizing: ClipResizing },
): Promise<FeatureNetwork> {
  const hash = createHash('sha256');
  const i3d = await createI3d({
    device,
    frames,
    async parameters(layer) {
      const { weight, bias } = await parameters(layer);
      for (const value of [weight, bias]) hash.update(tensorBytes(value));
      return { weight, bias };
    },
  });
  return {
    name: FVD_NETWORK,
    channels: 3,
    takesClips: true,
    protocol: { resize: resizing, batchNormEpsilon: epsilon, weights: fingerprint(hash) },
    batchSize: I3D_BATCH,
    extract: async (clips) => ({ features: await i3d.logits(preprocessClips(clips, resizing)) }),
    dispose: () => i3d.dispose(),
  };
}

/** Returns a text for weights: others may have the same name and layers, but make different features. */
function fingerprint(weights: Hash, digits = 16): string {
  return weights.digest('hex').slice(0, digits);
}

const CLASSIFIER_BATCH = 100;

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
  const hash = createHash('sha256');
  for (const [name, value] of weights) hash.update(name).update(tensorBytes(value));
  return {
    name: `${config.name}-${fingerprint(hash, 8)}`,
    channels: channels as Channels,
    classNames: config.classNames,
    batchSize: CLASSIFIER_BATCH,
    extract: async (images) => classifier.classify(framed(images, imageSize, config.name)),
    dispose: () => classifier.dispose(),
  };
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
