/** @file The Inception network as a graph: pictures to features. */

import { at } from '../../at.ts';
import {
  averagePool,
  concat,
  convolution,
  linear,
  maxPool,
  reduceMean,
  relu,
  reshape,
  slice,
  transpose,
} from '../../graph/operators/index.ts';
import type { SymbolicTensor } from '../../graph/symbolic.ts';
import { elementCount } from '../../tensor/tensor.ts';
import {
  INCEPTION_LAYERS,
  INCEPTION_SPATIAL,
  type InceptionConvolution,
  type InceptionLayer,
  type InceptionPool,
  SPATIAL_LAYER,
} from './layers.ts';

/** A convolution's weight (K, C, h, w) and bias (K), with the batch norm that follows folded in. */
export interface ConvolutionSymbols {
  readonly weight: SymbolicTensor;
  readonly bias: SymbolicTensor;
}

export interface InceptionSymbols {
  /** @param name of a convolution */
  convolution(name: string): ConvolutionSymbols;
  /** The classifier's weight (1008, 2048). */
  readonly classifier: SymbolicTensor;
}

export interface InceptionOutputs {
  /** The mean over all places of the last block: (N, 2048). */
  readonly features: SymbolicTensor;
  /** The first channels of a layer of 17 x 17, channels varying fastest: (N, 2023). */
  readonly spatial: SymbolicTensor;
  /** Without the classifier's bias, as the Inception Score of the ADM suite has them: (N, 1008). */
  readonly logits: SymbolicTensor;
}

/** Pictures (N, 3, 299, 299), as `preprocess` makes them, to features. */
export function inception(pictures: SymbolicTensor, symbols: InceptionSymbols): InceptionOutputs {
  const results = new Map<string, SymbolicTensor>();
  const last = inceptionLayers(INCEPTION_LAYERS, pictures, symbols, results);
  const features = reduceMean(last, [2, 3]);
  const [channels] = INCEPTION_SPATIAL;
  const spatial = transpose(slice(results.get(SPATIAL_LAYER)!, 1, 0, channels), [0, 2, 3, 1]);
  return {
    features,
    spatial: reshape(spatial, [at(pictures.shape, 0), elementCount(INCEPTION_SPATIAL)]),
    logits: linear(features, symbols.classifier),
  };
}

/** Layers one after the other. @param results gets that of every convolution, by its name. */
export function inceptionLayers(
  layers: readonly InceptionLayer[],
  x: SymbolicTensor,
  symbols: Pick<InceptionSymbols, 'convolution'>,
  results = new Map<string, SymbolicTensor>(),
): SymbolicTensor {
  return layers.reduce((input, layer) => {
    if (layer.kind === 'branches') {
      return concat(
        layer.branches.map((branch) => inceptionLayers(branch, input, symbols, results)),
        1,
      );
    }
    if (layer.kind !== 'convolution') return pool(input, layer);
    const result = convolve(input, layer, symbols.convolution(layer.name));
    results.set(layer.name, result);
    return result;
  }, x);
}

function convolve(
  x: SymbolicTensor,
  { stride, padding }: InceptionConvolution,
  { weight, bias }: ConvolutionSymbols,
): SymbolicTensor {
  return relu(convolution(x, weight, bias, { stride, padding: [...padding, ...padding] }));
}

function pool(x: SymbolicTensor, { kind, stride }: InceptionPool): SymbolicTensor {
  const options = { stride, padding: stride === 1 ? [1, 1, 1, 1] : [0, 0, 0, 0] };
  return kind === 'maxPool' ? maxPool(x, [3, 3], options) : averagePool(x, [3, 3], options);
}
