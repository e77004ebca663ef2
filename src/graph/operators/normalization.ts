/** @file Means and sums of squares over axes, and root-mean-square normalisation. */

import { at, take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { zeros } from '../../tensor/tensor.ts';
import { resolveAxis } from '../shapes.ts';
import {
  apply,
  applyOne,
  constant,
  integers,
  type NodeSpec,
  type SymbolicTensor,
  showShape,
} from '../symbolic.ts';
import { reduceSum, reshape, sumTo } from './broadcasting.ts';
import { multiply, scale, subtract } from './elementwise.ts';
import { matmul } from './linear-algebra.ts';

/** x / sqrt(mean(x²) + epsilon) * weight over the last axis; the weight, of the last axis's size, defaults to ones. */
export function rmsNorm(x: SymbolicTensor, epsilon: number, weight?: SymbolicTensor): SymbolicTensor {
  const size = x.shape.at(-1);
  if (typeof size !== 'number' || (weight && (weight.shape.length !== 1 || weight.shape[0] !== size))) {
    throw new ShapeError(
      `rmsNorm: input ${showShape(x.shape)} does not fit weight ${weight ? showShape(weight.shape) : '(none)'}`,
    );
  }
  if (!weight) return at(normalize(x, epsilon, size), 0);
  return applyOne({
    ...normalization(x, weight, epsilon),
    shape: x.shape,
    gradient: (g) => {
      const [normalized, inverse] = take(normalize(x, epsilon, size), 2);
      const along = multiply(g, normalized);
      const mean = weightedSum(along, scale(weight, 1 / size));
      const gradient = multiply(subtract(multiply(g, weight), multiply(normalized, mean)), inverse);
      return [gradient, sumTo(along, weight.shape)];
    },
  });
}

/** Sum over the last axis of x * weight, in one pass: a product with a column. The axis stays as a dim of 1. */
function weightedSum(x: SymbolicTensor, weight: SymbolicTensor): SymbolicTensor {
  const size = at(weight.shape, 0);
  const rows = x.shape.length > 1 ? x : reshape(x, [1, size]);
  return reshape(matmul(rows, reshape(weight, [size, 1])), [...x.shape.slice(0, -1), 1]);
}

/** x without its magnitude, and 1 / that magnitude, through which no gradient flows. */
function normalize(x: SymbolicTensor, epsilon: number, size: number): readonly SymbolicTensor[] {
  const ones = zeros('float32', [size]);
  ones.data.fill(1);
  return apply({
    ...normalization(x, constant(ones), epsilon),
    outputs: [{ shape: x.shape }, { shape: [...x.shape.slice(0, -1), 1] }],
    gradient: ([g], outputs) => {
      if (!g) return [];
      const [normalized, inverse] = take(outputs, 2);
      const mean = scale(reduceSum(multiply(g, normalized), [-1], true), 1 / size);
      return [multiply(subtract(g, multiply(normalized, mean)), inverse)];
    },
  });
}

function normalization(
  x: SymbolicTensor,
  weight: SymbolicTensor,
  epsilon: number,
): Pick<NodeSpec, 'operator' | 'inputs' | 'attributes'> {
  return {
    operator: 'SimplifiedLayerNormalization',
    inputs: [x, weight],
    attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
  };
}

/** Sum of squares over the last axis, which stays as a dim of 1: one pass, and no squares in memory. */
export function sumOfSquares(x: SymbolicTensor): SymbolicTensor {
  const axis = resolveAxis('sumOfSquares', -1, x.shape);
  return applyOne({
    operator: 'ReduceSumSquare',
    inputs: [x, integers([axis])],
    attributes: { keepdims: 1 },
    shape: [...x.shape.slice(0, -1), 1],
    gradient: (g) => [multiply(scale(g, 2), x)],
  });
}

/** Mean over axes of known size. */
export function reduceMean(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const count = axes.reduce(
    (product, axis) => product * Number(x.shape[resolveAxis('reduceMean', axis, x.shape)]),
    1,
  );
  if (Number.isNaN(count)) {
    throw new ShapeError(`reduceMean: axes [${axes}] of ${showShape(x.shape)} are not all of known size`);
  }
  return scale(reduceSum(x, axes, keepDims), 1 / count);
}
