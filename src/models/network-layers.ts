/**
 * @file Convolutional networks as data, such as those of the usual metrics: their layers, the graph of these, and
 * their parameters, with each batch norm as part of the convolution before it.
 */

import { at, float32At } from '../at.ts';
import { averagePool, concat, convolution, maxPool, relu } from '../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../graph/symbolic.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

/** A window that moves over the spatial axes. */
interface WindowLayer {
  /** Size and stride along each axis. */
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  /** `valid` adds no padding, `same` as little as gives ceil(size / stride) places. */
  readonly padding: 'same' | 'valid';
}

/** A convolution; all but the last of a network are followed by a batch norm and a ReLU. */
export interface ConvolutionLayer extends WindowLayer {
  readonly kind: 'convolution';
  /** Its name in the network's common port to PyTorch. */
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly last: boolean;
}

/** The mean of each window, without its padding, or its largest value. */
export interface PoolLayer extends WindowLayer {
  readonly kind: 'averagePool' | 'maxPool';
}

/** Ways that begin together and whose results are joined as channels. */
export interface Branches {
  readonly kind: 'branches';
  readonly branches: readonly (readonly NetworkLayer[])[];
}

/** A layer of a network, or several side by side. */
export type NetworkLayer = ConvolutionLayer | PoolLayer | Branches;

/** Every convolution, in the order of the layers. */
export function convolutionsOf(layers: readonly NetworkLayer[]): ConvolutionLayer[] {
  return layers.flatMap((layer) => {
    if (layer.kind === 'convolution') return [layer];
    return layer.kind === 'branches' ? layer.branches.flatMap(convolutionsOf) : [];
  });
}

/** Shape of a convolution's weight: (outputs, inputs, ...kernel). */
export function weightShape({ inputs, outputs, kernel }: ConvolutionLayer): number[] {
  return [outputs, inputs, ...kernel];
}

/** A convolution's weight (K, C, ...) and bias (K), with the batch norm that follows folded in. */
export type ConvolutionParameters = Readonly<Record<'weight' | 'bias', Tensor<'float32'>>>;
type ConvolutionSymbols = Readonly<Record<'weight' | 'bias', SymbolicTensor>>;

/** Inputs of a graph for a convolution's parameters, under the names that {@link readParameters} binds. */
function parameterInputs(layer: ConvolutionLayer): ConvolutionSymbols {
  const { name, outputs } = layer;
  return { weight: input(`${name}.weight`, weightShape(layer)), bias: input(`${name}.bias`, [outputs]) };
}

/** Reads the parameters of all convolutions, as values for the inputs of {@link applyLayers}. */
export async function readParameters(
  layers: readonly NetworkLayer[],
  read: (layer: ConvolutionLayer) => Promise<ConvolutionParameters>,
): Promise<Record<string, Tensor<'float32'>>> {
  const bound: Record<string, Tensor<'float32'>> = {};
  for (const layer of convolutionsOf(layers)) {
    const { weight, bias } = await read(layer);
    Object.assign(bound, { [`${layer.name}.weight`]: weight, [`${layer.name}.bias`]: bias });
  }
  return bound;
}

/**
 * Layers one after the other, of x (N, C, ...).
 * @param parametersOf inputs of the graph by default
 * @param results gets the result of every convolution, by its name
 */
export function applyLayers(
  layers: readonly NetworkLayer[],
  x: SymbolicTensor,
  parametersOf: (layer: ConvolutionLayer) => ConvolutionSymbols = parameterInputs,
  results = new Map<string, SymbolicTensor>(),
): SymbolicTensor {
  return layers.reduce((input, layer) => {
    if (layer.kind === 'branches') {
      const ends = layer.branches.map((branch) => applyLayers(branch, input, parametersOf, results));
      return concat(ends, 1);
    }
    const { kernel, stride } = layer;
    const padding =
      layer.padding === 'same' ? samePadding(input, kernel, stride) : kernel.flatMap(() => [0, 0]);
    if (layer.kind !== 'convolution') {
      const pool = layer.kind === 'maxPool' ? maxPool : averagePool;
      return pool(input, kernel, { stride, padding });
    }
    const { weight, bias } = parametersOf(layer);
    const convolved = convolution(input, weight, bias, { stride, padding });
    const result = layer.last ? convolved : relu(convolved);
    results.set(layer.name, result);
    return result;
  }, x);
}

/**
 * TensorFlow's padding SAME: as little as gives ceil(size / stride) places, with the odd element after the input. Ports
 * pad with zeros where the largest is taken too; all inputs there have been through a ReLU, so that makes no
 * difference.
 * @returns padding before along every axis, then after.
 */
export function samePadding(
  { shape }: Pick<SymbolicTensor, 'shape'>,
  kernel: readonly number[],
  stride: readonly number[],
): number[] {
  const totals = kernel.map((window, axis) => {
    const size = Number(shape[axis + 2]);
    const step = at(stride, axis);
    return Math.max((Math.ceil(size / step) - 1) * step + window - size, 0);
  });
  return [...totals.map((total) => Math.floor(total / 2)), ...totals.map((total) => Math.ceil(total / 2))];
}

/** A batch norm of K channels as it is in use, y = (x - mean) / sqrt(variance + epsilon) * scale + shift. */
interface BatchNorm {
  readonly mean: ArrayLike<number>;
  readonly variance: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  /** 1 where the norm has none. */
  readonly scale?: ArrayLike<number> | undefined;
  readonly epsilon: number;
}

/** The convolution (K, C, ...) that gives what `weight` without a bias does when the norm follows, computed in float64. */
export function foldBatchNorm(
  { shape, data }: Tensor<'float32'>,
  { mean, variance, shift, scale, epsilon }: BatchNorm,
): ConvolutionParameters {
  const outputs = at(shape, 0);
  const size = data.length / outputs;
  const weight = new Float32Array(data.length);
  const bias = new Float32Array(outputs);
  for (let k = 0; k < outputs; k++) {
    const factor = (scale?.[k] ?? 1) / Math.sqrt(at(variance, k) + epsilon);
    for (let i = k * size; i < (k + 1) * size; i++) weight[i] = float32At(data, i) * factor;
    bias[k] = at(shift, k) - at(mean, k) * factor;
  }
  return { weight: float32(shape, weight), bias: float32([outputs], bias) };
}
