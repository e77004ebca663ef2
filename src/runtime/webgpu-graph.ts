/** @file What ONNX Runtime's WebGPU kernels lack or compute wrongly, spelt out by others. */

import { at } from '../at.ts';
import type { Graph } from '../graph/onnx.ts';
import {
  divide,
  matmul,
  reduceSum,
  scale,
  shift,
  square,
  squareRoot,
  transpose,
} from '../graph/operators/index.ts';
import { substituteInGraph } from '../graph/partition.ts';
import { type Node, type SymbolicTensor, scalar } from '../graph/symbolic.ts';

type Spelling = (node: Node, inputs: readonly SymbolicTensor[], index: number) => SymbolicTensor | undefined;

/** By operator, what its outputs are instead. */
const SPELLINGS: Readonly<Record<string, Spelling>> = {
  FusedMatMul: plainProduct,
  SimplifiedLayerNormalization: inverseMagnitude,
};

/** The graph for WebGPU. */
export function forWebGpu(graph: Graph): Graph {
  return substituteInGraph(graph, ({ source }, inputs) =>
    source.kind === 'node' ? SPELLINGS[source.node.operator]?.(source.node, inputs, source.index) : undefined,
  );
}

/** There is no kernel (1.30): the product would be computed on the CPU, and its factors would cross to it. */
function plainProduct({ attributes }: Node, [a, b]: readonly SymbolicTensor[]): SymbolicTensor | undefined {
  if (!a || !b) return undefined;
  const { alpha } = attributes;
  const product = matmul(attributes.transA === 1 ? swapped(a) : a, attributes.transB === 1 ? swapped(b) : b);
  const factor = typeof alpha === 'object' && 'float' in alpha ? alpha.float : 1;
  return factor === 1 ? product : scale(product, factor);
}

/** The last two axes swapped. */
function swapped(x: SymbolicTensor): SymbolicTensor {
  const axes = x.shape.map((_, axis) => axis);
  return transpose(x, [...axes.slice(0, -2), at(axes, -1), at(axes, -2)]);
}

/**
 * The second output (1.30), 1 / magnitude, is left unwritten. Only gradients use it, so nothing changes for sampling.
 */
function inverseMagnitude(
  { attributes }: Node,
  inputs: readonly SymbolicTensor[],
  index: number,
): SymbolicTensor | undefined {
  if (index !== 1) return undefined;
  const { float: epsilon } = attributes.epsilon as { readonly float: number };
  const x = at(inputs, 0);
  const size = Number(at(x.shape, -1));
  const meanSquare = scale(reduceSum(square(x), [-1], true), 1 / size);
  return divide(scalar(1), squareRoot(shift(meanSquare, epsilon)));
}
