/** @file The cost of convolutions. */

import { at } from '../src/at.ts';
import { type SymbolicTensor, topologicalOrder } from '../src/graph/symbolic.ts';
import { elementCount } from '../src/tensor/tensor.ts';

/** Multiply-adds of all convolutions that lead to a result, for one sample: each weight is used once per position. */
export function convolutionCost(result: SymbolicTensor): number {
  return topologicalOrder([result])
    .filter(({ operator }) => operator === 'Conv')
    .map(({ inputs, outputs }) => {
      const countOf = ({ shape }: SymbolicTensor, from: number): number =>
        elementCount(shape.slice(from).map(Number));
      return countOf(at(outputs, 0), 2) * countOf(at(inputs, 1), 0);
    })
    .reduce((sum, count) => sum + count, 0);
}
