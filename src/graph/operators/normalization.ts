/** @file Root-mean-square normalisation. */

import { ShapeError } from '../../errors.ts';
import { zeros } from '../../tensor/tensor.ts';
import { apply, constant, showShape, type SymbolicTensor } from '../symbolic.ts';
import { multiply, subtract } from './elementwise.ts';
import { reduceMean } from './reduction.ts';

/** x / sqrt(mean(x²) + epsilon) * weight over the last axis; the weight, of the last axis's size, defaults to ones. */
export function rmsNorm(x: SymbolicTensor, epsilon: number, weight?: SymbolicTensor): SymbolicTensor {
  const size = x.shape[x.shape.length - 1];
  if (typeof size !== 'number' || (weight && (weight.shape.length !== 1 || weight.shape[0] !== size))) {
    throw new ShapeError(`rmsNorm: input ${showShape(x.shape)} does not fit weight ${weight ? showShape(weight.shape) : '(none)'}`);
  }
  const normalized = normalize(x, size, epsilon);
  return weight ? multiply(normalized, weight) : normalized;
}

function normalize(x: SymbolicTensor, size: number, epsilon: number): SymbolicTensor {
  const ones = zeros('float32', [size]);
  ones.data.fill(1);
  return apply({
    operator: 'SimplifiedLayerNormalization',
    inputs: [x, constant(ones)],
    attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
    outputs: [{ shape: x.shape }, { shape: [...x.shape.slice(0, -1), 1] }],
    gradient: ([g], [normalized, inverse]) => {
      if (!g) return [];
      const along = reduceMean(multiply(g, normalized), [-1], true);
      return [multiply(subtract(g, multiply(normalized, along)), inverse)];
    },
  })[0];
}
