/** @file What ONNX Runtime's WebGPU kernels compute wrongly, spelt out by others. */

import { at } from '../at.ts';
import type { Graph } from '../graph/onnx.ts';
import { divide, reduceSum, scale, shift, square, squareRoot } from '../graph/operators/index.ts';
import { substituteInGraph } from '../graph/partition.ts';
import { type SymbolicTensor, scalar } from '../graph/symbolic.ts';

/**
 * The graph for WebGPU: its SimplifiedLayerNormalization (1.30) leaves the second output, 1 / magnitude, unwritten. Only
 * gradients use it, so nothing changes for sampling.
 */
export function forWebGpu(graph: Graph): Graph {
  return substituteInGraph(graph, (output, inputs) => inverseMagnitude(output, inputs));
}

function inverseMagnitude(
  { source }: SymbolicTensor,
  inputs: readonly SymbolicTensor[],
): SymbolicTensor | undefined {
  if (source.kind !== 'node' || source.index !== 1) return undefined;
  const { operator, attributes } = source.node;
  if (operator !== 'SimplifiedLayerNormalization') return undefined;
  const { float: epsilon } = attributes.epsilon as { readonly float: number };
  const x = at(inputs, 0);
  const size = Number(at(x.shape, -1));
  const meanSquare = scale(reduceSum(square(x), [-1], true), 1 / size);
  return divide(scalar(1), squareRoot(shift(meanSquare, epsilon)));
}
