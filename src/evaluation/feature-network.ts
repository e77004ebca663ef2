/** @file What the evaluation knows of a network whose features it compares. */

import type { Channels } from '../media/image.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Protocol } from './evaluation-set.ts';

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
  /** Of a classifier that samples' labels are meant for: what its logits are of, label by label. */
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
  /** Of a classifier (N, classes), for the Inception Score. */
  readonly logits?: Tensor<'float32'>;
  /** Features (N, D') of a layer that still knows places, whose statistics alone are compared (sFID). */
  readonly spatial?: Tensor<'float32'>;
}
