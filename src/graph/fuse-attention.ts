/** @file Attention as one operator, where a device has a kernel for it: a pass over a graph. */

import { at } from '../at.ts';
import type { Graph } from './onnx.ts';
import { reshape, transpose } from './operators/index.ts';
import { substituteInGraph } from './partition.ts';
import { applyOne, type Node, type SymbolicTensor } from './symbolic.ts';

/** Replaces each softmax(q kᵀ) v of heads, q (N, H, Q, D) and k, v (N, H, K, D), by MultiHeadAttention. */
export function fuseAttention(graph: Graph): Graph {
  return substituteInGraph(graph, ({ source }, inputs) => {
    if (source.kind !== 'node' || source.node.operator !== 'MatMul') return undefined;
    const [weights, value] = inputs;
    const softmax = nodeOf(weights, 'Softmax');
    const product = nodeOf(softmax?.inputs[0], 'FusedMatMul');
    if (!product || !value || product.attributes.transA !== 0 || product.attributes.transB !== 1)
      return undefined;
    const [query, key] = [at(product.inputs, 0), at(product.inputs, 1)];
    const [samples, heads, queries, size] = query.shape;
    if (query.shape.length !== 4 || samples === undefined || queries === undefined) return undefined;
    if (typeof heads !== 'number' || typeof size !== 'number') return undefined;
    const joined = [samples, queries, heads * size];
    const attended = applyOne({
      operator: 'MultiHeadAttention',
      domain: 'com.microsoft',
      inputs: [reshape(transpose(query, [0, 2, 1, 3]), joined), key, value],
      attributes: { num_heads: heads, scale: product.attributes.alpha ?? { float: 1 } },
      shape: joined,
    });
    return transpose(reshape(attended, [samples, queries, heads, size]), [0, 2, 1, 3]);
  });
}

function nodeOf(symbol: SymbolicTensor | undefined, operator: string): Node | undefined {
  return symbol?.source.kind === 'node' && symbol.source.node.operator === operator
    ? symbol.source.node
    : undefined;
}
