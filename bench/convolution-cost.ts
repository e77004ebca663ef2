/** @file What convolutions cost. */

import { type SymbolicTensor, topologicalOrder } from '../src/graph/symbolic.ts';
import { elementCount } from '../src/tensor/tensor.ts';

/** Multiply-adds of all convolutions that lead to a result, for one sample: each weight is used once for every place. */
export function convolutionCost(result: SymbolicTensor): number {
  return topologicalOrder([result])
    .filter(({ operator }) => operator === 'Conv')
    .map(({ inputs: [, weight], outputs: [output] }) => {
      const [places, size] = [output.shape.slice(2), weight.shape].map((shape) =>
        elementCount(shape.map(Number)),
      );
      return places * size;
    })
    .reduce((sum, count) => sum + count, 0);
}
