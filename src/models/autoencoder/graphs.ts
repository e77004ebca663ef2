/**
 * @file The programs of an autoencoder, each over one strip of an image: convolution with what stands before and
 * after it, and the two halves of an attention. Rows and columns are known only when they run, so that one program,
 * with one copy of the weights, serves every size.
 */

import { type Graph, graphOf } from '../../graph/onnx.ts';
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
import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
import type { AttentionStage, ConvolutionStage } from './stages.ts';

/** What one convolution program does. */
export interface ConvolutionSpec extends Omit<ConvolutionStage, 'kind'> {
  /** What is added to the result: its channels, and the 1 x 1 convolution that it passes before if they are others. */
  readonly residual?: { readonly channels: number; readonly shortcut: string };
  /** Groups to measure in the result for the norm that follows; 0 if none does. */
  readonly measured: number;
}

/**
 * Inputs: `strip` (1, C, rows, W); for a kernel of 3, the rows `above` and `below` it (1, C, 1, W). With a norm, `scale`
 * and `shift` (1, C, 1, 1), and `isAbove` and `isBelow`: 1, or 0 where these rows are zeros outside the image. With
 * a residual, `residual` (1, C', rows, W). With measures, `inverseCount`: 1 / values in a group. Parameters are inputs
 * under their own names, which have a dot.
 * Outputs: `result`, and `means` and `squares` (groups, 1) where measured.
 */
export function convolutionGraph(spec: ConvolutionSpec): Graph {
  const { name, inputs: channels, outputs, kernel, norm, resize, residual, measured } = spec;
  const [rows, columns] = resize === 'down' ? ['2*rows', '2*columns'] : ['rows', 'columns'];
  const affine = norm !== undefined && {
    scale: input('scale', [1, channels, 1, 1]),
    shift: input('shift', [1, channels, 1, 1]),
  };
  const activate = (x: SymbolicTensor): SymbolicTensor =>
    affine ? silu(add(multiply(x, affine.scale), affine.shift)) : x;
  const [tall, wide] = resize === 'up' ? [2, 2] : [1, 1];
  const prepare = (x: SymbolicTensor, high: number): SymbolicTensor =>
    resize === 'up' ? upsampleNearest(activate(x), high, wide) : activate(x);
  const edge = (side: string, exists: string): SymbolicTensor => {
    const row = prepare(input(side, [1, channels, 1, columns]), 1);
    return affine ? multiply(row, input(exists, [])) : row;
  };
  const parts = [prepare(input('strip', [1, channels, rows, columns]), tall)];
  if (kernel === 3 && resize !== 'down') parts.unshift(edge('above', 'isAbove'));
  if (kernel === 3) parts.push(edge('below', 'isBelow'));
  const weight = input(`${name}.weight`, [outputs, channels, kernel, kernel]);
  const convolved = convolution(concat(parts, 2), weight, input(`${name}.bias`, [outputs]), {
    stride: resize === 'down' ? 2 : 1,
    // diffusers puts zeros at the right and at the bottom only, where it halves an image.
    padding: kernel === 1 ? [0, 0, 0, 0] : [0, resize === 'down' ? 0 : 1, 0, 1],
  });
  const result = residual ? add(convolved, shortcut(residual, outputs)) : convolved;
  return graphOf({ result, ...measures(result, measured) });
}

function shortcut(
  { channels, shortcut }: NonNullable<ConvolutionSpec['residual']>,
  outputs: number,
): SymbolicTensor {
  const residual = input('residual', [1, channels, 'rows', 'columns']);
  if (channels === outputs) return residual;
  const weight = input(`${shortcut}.weight`, [outputs, channels, 1, 1]);
  return convolution(residual, weight, input(`${shortcut}.bias`, [outputs]));
}

/** Means of groups of channels, the second axis of x, and sums of squared distances from them. */
function measures(x: SymbolicTensor, groups: number): Record<string, SymbolicTensor> {
  if (groups === 0) return {};
  const [, channels, ...size] = x.shape;
  const grouped = reshape(x, [groups, productDim([Number(channels) / groups, ...size])]);
  const means = multiply(reduceSum(grouped, [-1], true), input('inverseCount', []));
  return { means, squares: reduceSum(square(subtract(grouped, means)), [-1], true) };
}

/** A product with a weight (K, C) and bias over the channels of x (C, pixels), which stay in front. */
function project(name: string, x: SymbolicTensor): SymbolicTensor {
  const channels = Number(x.shape[0]);
  const weight = input(`${name}.weight`, [channels, channels]);
  return add(matmul(weight, x), reshape(input(`${name}.bias`, [channels]), [channels, 1]));
}

function normalizedPixels(channels: number): { strip: SymbolicTensor; normalized: SymbolicTensor } {
  const vector = (name: string): SymbolicTensor => reshape(input(name, [1, channels, 1, 1]), [channels, 1]);
  const strip = reshape(input('strip', [1, channels, 'pixels']), [channels, 'pixels']);
  return { strip, normalized: add(multiply(strip, vector('scale')), vector('shift')) };
}

/** Keys and values of a strip's pixels: inputs as of {@link convolutionGraph}, outputs (C, pixels). */
export function keysAndValuesGraph({ name, inputs: channels }: AttentionStage): Graph {
  const { normalized } = normalizedPixels(channels);
  return graphOf({
    keys: project(`${name}.to_k`, normalized),
    values: project(`${name}.to_v`, normalized),
  });
}

/** A strip whose pixels attend all `keys` and `values` (C, all): `result` (1, C, pixels), and its measures. */
export function attendGraph({ name, inputs: channels }: AttentionStage, measured: number): Graph {
  const { strip, normalized } = normalizedPixels(channels);
  const queries = project(`${name}.to_q`, normalized);
  const [keys, values] = [input('keys', [channels, 'all']), input('values', [channels, 'all'])];
  const weights = softmax(transposedMatmul(queries, keys, 1 / Math.sqrt(channels)));
  const attended = project(`${name}.to_out.0`, matmulTransposed(values, weights));
  const result = reshape(add(strip, attended), [1, channels, 'pixels']);
  return graphOf({ result, ...measures(result, measured) });
}
