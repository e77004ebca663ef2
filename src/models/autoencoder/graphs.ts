/**
 * @file The programs of an autoencoder, each over one strip of a picture: convolution with what stands before and
 * after it, and the two halves of an attention. Rows and columns are known only when they run, so that one program,
 * with one copy of the weights, serves every size.
 */

import type { Graph } from '../../graph/onnx.ts';
import {
  add,
  concat,
  convolution,
  matmul,
  matmulTransposed,
  multiply,
  reduceSum,
  reshape,
  silu,
  softmax,
  square,
  subtract,
  transposedMatmul,
  upsampleNearest,
} from '../../graph/operators/index.ts';
import { productDim } from '../../graph/shapes.ts';
import { type Dim, input, type SymbolicTensor } from '../../graph/symbolic.ts';

/** What one convolution program does. */
export interface ConvolutionSpec {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: 1 | 3;
  /** Norm and SiLU before the convolution. */
  readonly normalized: boolean;
  readonly resize?: 'up' | 'down' | undefined;
  /** Channels of what is added to the result, after a 1 x 1 convolution if they are others. */
  readonly residual?: number;
  /** Groups to measure in the result for the norm that follows; 0 if none does. */
  readonly measured: number;
}

/** Collects a graph's inputs as they are made. */
function inputList(): {
  inputs: SymbolicTensor[];
  take: (name: string, shape: readonly Dim[]) => SymbolicTensor;
} {
  const inputs: SymbolicTensor[] = [];
  const take = (name: string, shape: readonly Dim[]): SymbolicTensor => {
    const symbol = input(name, shape);
    inputs.push(symbol);
    return symbol;
  };
  return { inputs, take };
}

/**
 * Inputs: `strip` (1, C, rows, W); for a kernel of 3, the rows `above` and `below` it (1, C, 1, W). With a norm, `scale`
 * and `shift` (1, C, 1, 1), and `isAbove` and `isBelow`: 1, or 0 where these rows are zeros outside the picture. With
 * a residual, `residual` (1, C', rows, W). With measures, `inverseCount`: 1 / values in a group.
 * Outputs: `result`, and `means` and `squares` (groups, 1) where measured.
 */
export function convolutionGraph(spec: ConvolutionSpec): Graph {
  const { inputs: channels, outputs, kernel, normalized, resize, residual, measured } = spec;
  const { inputs, take } = inputList();
  const [rows, columns] = resize === 'down' ? ['2*rows', '2*columns'] : ['rows', 'columns'];
  const affine = normalized && {
    scale: take('scale', [1, channels, 1, 1]),
    shift: take('shift', [1, channels, 1, 1]),
  };
  const activate = (x: SymbolicTensor): SymbolicTensor =>
    affine ? silu(add(multiply(x, affine.scale), affine.shift)) : x;
  const [tall, wide] = resize === 'up' ? [2, 2] : [1, 1];
  const prepare = (x: SymbolicTensor, high: number): SymbolicTensor =>
    resize === 'up' ? upsampleNearest(activate(x), high, wide) : activate(x);
  const edge = (name: string, exists: string): SymbolicTensor => {
    const row = prepare(take(name, [1, channels, 1, columns]), 1);
    return normalized ? multiply(row, take(exists, [])) : row;
  };
  const parts = [prepare(take('strip', [1, channels, rows, columns]), tall)];
  if (kernel === 3 && resize !== 'down') parts.unshift(edge('above', 'isAbove'));
  if (kernel === 3) parts.push(edge('below', 'isBelow'));
  const convolved = convolution(
    concat(parts, 2),
    take('weight', [outputs, channels, kernel, kernel]),
    take('bias', [outputs]),
    {
      stride: resize === 'down' ? 2 : 1,
      // diffusers puts zeros at the right and at the bottom only, where it halves a picture.
      padding: kernel === 1 ? [0, 0, 0, 0] : [0, resize === 'down' ? 0 : 1, 0, 1],
    },
  );
  const result = residual === undefined ? convolved : add(convolved, shortcut(residual, outputs, take));
  return { inputs, outputs: { result, ...measures(result, measured, take) } };
}

type Take = ReturnType<typeof inputList>['take'];

function shortcut(channels: number, outputs: number, take: Take): SymbolicTensor {
  const residual = take('residual', [1, channels, 'rows', 'columns']);
  if (channels === outputs) return residual;
  const weight = take('shortcutWeight', [outputs, channels, 1, 1]);
  return convolution(residual, weight, take('shortcutBias', [outputs]));
}

/** Means of groups of channels, the second axis of x, and sums of squared distances from them. */
function measures(x: SymbolicTensor, groups: number, take: Take): Record<string, SymbolicTensor> {
  if (groups === 0) return {};
  const [, channels, ...size] = x.shape;
  const grouped = reshape(x, [groups, productDim([Number(channels) / groups, ...size])]);
  const means = multiply(reduceSum(grouped, [-1], true), take('inverseCount', []));
  return { means, squares: reduceSum(square(subtract(grouped, means)), [-1], true) };
}

/** A product with a weight (K, C) and bias over the channels of x (C, pixels), which stay in front. */
function project(name: string, x: SymbolicTensor, take: Take): SymbolicTensor {
  const channels = Number(x.shape[0]);
  const weight = take(`${name}.weight`, [channels, channels]);
  return add(matmul(weight, x), reshape(take(`${name}.bias`, [channels]), [channels, 1]));
}

function normalizedPixels(
  channels: number,
  take: Take,
): { strip: SymbolicTensor; normalized: SymbolicTensor } {
  const strip = reshape(take('strip', [1, channels, 'pixels']), [channels, 'pixels']);
  const scaled = multiply(strip, reshape(take('scale', [1, channels, 1, 1]), [channels, 1]));
  return { strip, normalized: add(scaled, reshape(take('shift', [1, channels, 1, 1]), [channels, 1])) };
}

/** Keys and values of a strip's pixels: inputs as of {@link convolutionGraph}, outputs (C, pixels). */
export function keysAndValuesGraph(channels: number): Graph {
  const { inputs, take } = inputList();
  const { normalized } = normalizedPixels(channels, take);
  const [keys, values] = [project('to_k', normalized, take), project('to_v', normalized, take)];
  return { inputs, outputs: { keys, values } };
}

/** A strip whose pixels attend all `keys` and `values` (C, all): `result` (1, C, pixels), and its measures. */
export function attendGraph(channels: number, measured: number): Graph {
  const { inputs, take } = inputList();
  const { strip, normalized } = normalizedPixels(channels, take);
  const queries = project('to_q', normalized, take);
  const keys = take('keys', [channels, 'all']);
  const values = take('values', [channels, 'all']);
  const weights = softmax(transposedMatmul(queries, keys, 1 / Math.sqrt(channels)));
  const attended = project('to_out.0', matmulTransposed(values, weights), take);
  const result = reshape(add(strip, attended), [1, channels, 'pixels']);
  return { inputs, outputs: { result, ...measures(result, measured, take) } };
}
