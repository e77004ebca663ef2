/** @file The Inception network on a device: pictures in, features out. */

import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
import type { Device, Feeds } from '../../runtime/device.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import {
  INCEPTION_CLASSES,
  INCEPTION_FEATURES,
  INCEPTION_SIZE,
  type InceptionConvolution,
  inceptionConvolutions,
} from './layers.ts';
import { type ConvolutionSymbols, inception } from './network.ts';
import { type Preprocessing, preprocess } from './preprocess.ts';

/** A convolution's weight (K, C, h, w) and bias (K), with the batch norm that follows folded in. */
export interface InceptionParameters {
  readonly weight: Tensor<'float32'>;
  readonly bias: Tensor<'float32'>;
}

/** The network's weights, each read when asked for. */
export interface InceptionWeights {
  /** A convolution's weight and bias, with its batch norm folded in. */
  convolution(layer: InceptionConvolution): Promise<InceptionParameters>;
  /** The classifier's weight (1008, 2048). */
  classifier(): Promise<Tensor<'float32'>>;
}

/** What the network says of N pictures. */
export interface InceptionFeatures {
  /** (N, 2048) */
  readonly features: Tensor<'float32'>;
  /** (N, 2023) */
  readonly spatial: Tensor<'float32'>;
  /** (N, 1008), without a bias. */
  readonly logits: Tensor<'float32'>;
}

/** The compiled network. */
export interface Inception {
  /**
   * Features of pictures (N, H, W, 3) of any size.
   * @throws {ShapeError} if they have another shape.
   */
  extract(pictures: Tensor<'uint8'>, preprocessing: Preprocessing): Promise<InceptionFeatures>;
  /** Free its programs. */
  dispose(): Promise<void>;
}

/** Compile the network; its weights are copied. */
export async function createInception(device: Device, weights: InceptionWeights): Promise<Inception> {
  const pictures = input('pictures', ['pictures', 3, INCEPTION_SIZE, INCEPTION_SIZE]);
  const classifier = input('classifier', [INCEPTION_CLASSES, INCEPTION_FEATURES]);
  const symbols = new Map<string, ConvolutionSymbols>();
  const inputs: SymbolicTensor[] = [pictures, classifier];
  const bound: Record<string, Tensor> = { classifier: await weights.classifier() };
  for (const layer of inceptionConvolutions()) {
    const { name, inputs: channels, outputs, kernel } = layer;
    const weight = input(`${name}.weight`, [outputs, channels, ...kernel]);
    const bias = input(`${name}.bias`, [outputs]);
    symbols.set(name, { weight, bias });
    inputs.push(weight, bias);
    const values = await weights.convolution(layer);
    Object.assign(bound, { [`${name}.weight`]: values.weight, [`${name}.bias`]: values.bias });
  }
  const outputs = inception(pictures, { classifier, convolution: (name) => symbols.get(name)! });
  const program = await device.compile({ inputs, outputs: { ...outputs } }, bound);
  return {
    async extract(images, preprocessing) {
      const feeds: Feeds = { pictures: preprocess(images, preprocessing) };
      const { features, spatial, logits } = (await program.run(feeds)) as unknown as InceptionFeatures;
      return { features, spatial, logits };
    },
    dispose: () => program.dispose(),
  };
}
