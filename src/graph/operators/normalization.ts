/** @file Root-mean-square normalisation. */

import { ShapeError } from '../../errors.ts';
import { zeros } from '../../tensor/tensor.ts';
import { apply, constant, type SymbolicTensor, showShape } from '../symbolic.ts';
import { reduceSum, sumTo } from './broadcasting.ts';
import { multiply, scale, subtract } from './elementwise.ts';

/** x / sqrt(mean(x²) + epsilon) * weight over the last axis; the weight, of the last axis's size, defaults to ones. */
export function rmsNorm(x: SymbolicTensor, epsilon: number, weight?: SymbolicTensor): SymbolicTensor {
  const size = x.shape[x.shape.length - 1];
  if (typeof size !== 'number' || (weight && (weight.shape.length !== 1 || weight.shape[0] !== size))) {
    throw new ShapeError(
      `rmsNorm: input ${showShape(x.shape)} does not fit weight ${weight ? showShape(weight.shape) : '(none)'}`,
    );
  }
  return normalize(x, epsilon, weight ?? ones(size), (g) => {
    const [normalized, inverse] = normalizeParts(x, epsilon, size);
    const along = multiply(g, normalized);
    const weighted = weight ? multiply(along, weight) : along;
    const mean = scale(reduceSum(weighted, [-1], true), 1 / size);
    const scaled = weight ? multiply(g, weight) : g;
    const gradient = multiply(subtract(scaled, multiply(normalized, mean)), inverse);
    return [gradient, weight && sumTo(along, weight.shape)];
  });
}

function ones(size: number): SymbolicTensor {
  const value = zeros('float32', [size]);
  value.data.fill(1);
  return constant(value);
}

type Rule = (g: SymbolicTensor) => readonly (SymbolicTensor | undefined)[];

function normalize(x: SymbolicTensor, epsilon: number, weight: SymbolicTensor, rule: Rule): SymbolicTensor {
  return apply({
    operator: 'SimplifiedLayerNormalization',
    inputs: [x, weight],
    attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
    outputs: [{ shape: x.shape }],
    gradient: ([g]) => (g ? rule(g) : []),
  })[0];
}

/** x without its magnitude, and 1 / that magnitude; for the gradient, which needs no gradient of its own. */
function normalizeParts(x: SymbolicTensor, epsilon: number, size: number): readonly SymbolicTensor[] {
  return apply({
    operator: 'SimplifiedLayerNormalization',
    inputs: [x, ones(size)],
    attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
    outputs: [{ shape: x.shape }, { shape: [...x.shape.slice(0, -1), 1] }],
  });
}
