/** @file Scaled dot-product attention; the scale is expected to be folded into the queries. */

import { at } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { sameShape } from '../shapes.ts';
import { applyOne, type Shape, type SymbolicTensor, showShape } from '../symbolic.ts';
import { filled, reduceSum } from './broadcasting.ts';
import { add, multiply, negate, unary } from './elementwise.ts';
import { concat } from './layout.ts';
import { matmulTransposed, transposedMatmul } from './linear-algebra.ts';

/**
 * softmax(q kᵀ + bias) v, with q (..., Q, D), k (..., K, D), v (..., K, D) of the same leading dims.
 * @param bias added to the scores, such as a mask of 0 and -infinity that leaves every query a key; (Q, K),
 * no gradient.
 */
export function attention(
  q: SymbolicTensor,
  k: SymbolicTensor,
  v: SymbolicTensor,
  bias?: SymbolicTensor,
): SymbolicTensor {
  const leading = q.shape.slice(0, -2);
  if (!sameShape(k.shape.slice(0, -2), leading) || !sameShape(v.shape.slice(0, -2), leading)) {
    throw new ShapeError(
      `attention: queries ${showShape(q.shape)}, keys ${showShape(k.shape)} and values ${showShape(v.shape)} differ in their leading dims`,
    );
  }
  const products = matmulTransposed(q, k);
  const scores = bias ? add(products, bias) : products;
  // The gradient rule passes through: weightedValues, the only reader, already gives the gradient of the scores.
  // P (dP - rowsum(dP P)) needs a pass over all scores for the sum, but rowsum(dP P) = rowsum(dO O), and O is D wide
  // instead of K.
  const probabilities = unary('Softmax', scores, (g) => g, { axis: -1 });
  return weightedValues(probabilities, v);
}

function weightedValues(probabilities: SymbolicTensor, v: SymbolicTensor): SymbolicTensor {
  if (v.shape.at(-2) !== probabilities.shape.at(-1)) {
    throw new ShapeError(
      `attention: ${showShape(probabilities.shape)} weights do not fit values ${showShape(v.shape)}`,
    );
  }
  const shape: Shape = [...probabilities.shape.slice(0, -1), at(v.shape, -1)];
  return applyOne({
    operator: 'MatMul',
    inputs: [probabilities, v],
    shape,
    gradient: (g, out) => {
      const rowSums = reduceSum(multiply(g, out), [-1], true);
      // g vᵀ - rowSums as one product, [g, -rowSums] [v, 1]ᵀ: a pass over all scores less.
      const columnOfOnes = filled([...v.shape.slice(0, -1), 1], 1);
      const inner = matmulTransposed(concat([g, negate(rowSums)], -1), concat([v, columnOfOnes], -1));
      return [multiply(probabilities, inner), transposedMatmul(probabilities, g)];
    },
  });
}
