/** @file The same graph with other symbols in some places. */

import { at } from '../at.ts';
import type { Graph } from './onnx.ts';
import { changedNode, type SymbolicTensor, topologicalOrder } from './symbolic.ts';

/**
 * What a node's output is to be replaced by, if anything.
 * @param inputs the node's own, with what was replaced before them.
 */
export type Replacement = (
  output: SymbolicTensor,
  inputs: readonly SymbolicTensor[],
) => SymbolicTensor | undefined;

/** The outputs of a graph in which some nodes' outputs are replaced. What does not depend on them stays the same object. */
export function substitute(outputs: readonly SymbolicTensor[], replacement: Replacement): SymbolicTensor[] {
  const replaced = new Map<SymbolicTensor, SymbolicTensor>();
  const resolve = (symbol: SymbolicTensor): SymbolicTensor => replaced.get(symbol) ?? symbol;
  for (const node of topologicalOrder(outputs)) {
    const inputs = node.inputs.map(resolve);
    const isChanged = inputs.some((symbol, i) => symbol !== node.inputs[i]);
    const outputs = isChanged ? changedNode(node, { inputs }) : node.outputs;
    for (const [index, output] of node.outputs.entries()) {
      replaced.set(output, replacement(output, inputs) ?? at(outputs, index));
    }
  }
  return outputs.map(resolve);
}

/** A graph with the same inputs, and some nodes' outputs replaced. */
export function substituteInGraph({ inputs, outputs }: Graph, replacement: Replacement): Graph {
  const replaced = substitute(Object.values(outputs), replacement);
  return {
    inputs,
    outputs: Object.fromEntries(Object.keys(outputs).map((name, i) => [name, at(replaced, i)])),
  };
}
