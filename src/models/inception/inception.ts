/** @file The Inception network on a device: images in, features out. */

import { at } from '../../at.ts';
import { graphOf } from '../../graph/onnx.ts';
import { linear, reduceMean, reshape, slice, transpose } from '../../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
import type { Device } from '../../runtime/device.ts';
import { elementCount, type Tensor } from '../../tensor/tensor.ts';
import { type BilinearRules, resizePictures } from '../bilinear.ts';
import {
  applyLayers,
  type ConvolutionLayer,
  type ConvolutionParameters,
  readParameters,
} from '../network-layers.ts';
import {
  INCEPTION_CLASSES,
  INCEPTION_FEATURES,
  INCEPTION_LAYERS,
  INCEPTION_SIZE,
  INCEPTION_SPATIAL,
  SPATIAL_LAYER,
} from './layers.ts';

/** The network's weights, each read when asked for. */
export interface InceptionWeights {
  /** A convolution's weight and bias, with its batch norm folded in. */
  convolution(layer: ConvolutionLayer): Promise<ConvolutionParameters>;
  /** The classifier's weight (1008, 2048). */
  classifier(): Promise<Tensor<'float32'>>;
}

/** What the network says of N images. */
export interface InceptionFeatures<Value = Tensor<'float32'>> {
  /** The mean over all places of the last block: (N, 2048). */
  readonly features: Value;
  /** The first channels of a layer of 17 x 17, channels varying fastest: (N, 2023). */
  readonly spatial: Value;
  /** Without the classifier's bias, as the Inception Score of the ADM suite has them: (N, 1008). */
  readonly logits: Value;
}

/** The compiled network. */
export interface Inception {
  /**
   * Features of images (N, H, W, 3) of any size.
   * @throws {ShapeError} if they have another shape.
   */
  extract(pictures: Tensor<'uint8'>, preprocessing: Preprocessing): Promise<InceptionFeatures>;
  /** Free its programs. */
  dispose(): Promise<void>;
}

/** Compile the network; its weights are copied. */
export async function createInception(device: Device, weights: InceptionWeights): Promise<Inception> {
  const bound = {
    classifier: await weights.classifier(),
    ...(await readParameters(INCEPTION_LAYERS, (layer) => weights.convolution(layer))),
  };
  const program = await device.compile(graphOf({ ...inceptionFeatures() }), bound);
  return {
    async extract(pictures, preprocessing) {
      const outputs = await program.run({ pictures: preprocess(pictures, preprocessing) });
      return outputs as Record<keyof InceptionFeatures, Tensor<'float32'>>;
    },
    dispose: () => program.dispose(),
  };
}

/** The graph: `pictures` (N, 3, 299, 299), as {@link preprocess} makes them, to features. */
function inceptionFeatures(): InceptionFeatures<SymbolicTensor> {
  const pictures = input('pictures', ['pictures', 3, INCEPTION_SIZE, INCEPTION_SIZE]);
  const results = new Map<string, SymbolicTensor>();
  const features = reduceMean(applyLayers(INCEPTION_LAYERS, pictures, undefined, results), [2, 3]);
  const spatial = slice(results.get(SPATIAL_LAYER)!, 1, 0, INCEPTION_SPATIAL[0]);
  return {
    features,
    spatial: reshape(transpose(spatial, [0, 2, 3, 1]), [
      at(pictures.shape, 0),
      elementCount(INCEPTION_SPATIAL),
    ]),
    logits: linear(features, input('classifier', [INCEPTION_CLASSES, INCEPTION_FEATURES])),
  };
}

/**
 * `adm`: as TensorFlow 1 resizes, from the top left corner of each pixel, then (x - 128) / 128; what the FID's authors and
 * the ADM suite do. `pytorch-fid`: as PyTorch resizes, from the middle of each pixel, of x / 255, then 2 x - 1.
 */
export const PREPROCESSINGS = ['adm', 'pytorch-fid'] as const;

/** One of {@link PREPROCESSINGS}. */
export type Preprocessing = (typeof PREPROCESSINGS)[number];

const RULES: Readonly<Record<Preprocessing, BilinearRules>> = {
  adm: {
    size: INCEPTION_SIZE,
    pixelPlace: 'corner',
    before: (value) => value,
    after: (value) => (value - 128) / 128,
  },
  'pytorch-fid': {
    size: INCEPTION_SIZE,
    pixelPlace: 'middle',
    before: (value) => Math.fround(value / 255),
    after: (value) => 2 * value - 1,
  },
};

/**
 * Images (N, H, W, 3) of 8 bits and any size as the network takes them: (N, 3, 299, 299) in [-1, 1].
 * @throws {ShapeError} if they have another shape.
 */
export function preprocess(pictures: Tensor<'uint8'>, preprocessing: Preprocessing): Tensor<'float32'> {
  return resizePictures('preprocess: pictures', pictures, 'N, H, W, 3', RULES[preprocessing]);
}
