/** @file Reverse-mode differentiation: more graph, built from each node's gradient rule. */

import { at } from '../at.ts';
import { ShapeError } from '../errors.ts';
import { add, constantZeros } from './operators/index.ts';
import { sameShape } from './shapes.ts';
import { type Node, type SymbolicTensor, scalar, showShape, topologicalOrder } from './symbolic.ts';

/** An output and the gradient of the final scalar with respect to it. */
export interface Seed {
  readonly output: SymbolicTensor;
  readonly gradient: SymbolicTensor;
}

/**
 * Gradients with respect to `targets`, given gradients with respect to some outputs.
 * A target that no output depends on gets zeros.
 * @throws {ShapeError} if a seed's gradient has another shape than its output.
 */
export function backpropagate(seeds: readonly Seed[], targets: readonly SymbolicTensor[]): SymbolicTensor[] {
  const gradients = new Map<SymbolicTensor, SymbolicTensor>();
  const accumulate = (symbol: SymbolicTensor, gradient: SymbolicTensor): void => {
    const sum = gradients.get(symbol);
    gradients.set(symbol, sum ? add(sum, gradient) : gradient);
  };
  for (const { output, gradient } of seeds) {
    if (!sameShape(output.shape, gradient.shape)) {
      throw new ShapeError(
        `backpropagate: the gradient ${showShape(gradient.shape)} must have its output's shape ${showShape(output.shape)}`,
      );
    }
    accumulate(output, gradient);
  }
  const order = topologicalOrder(seeds.map((seed) => seed.output));
  const needed = dependents(order, targets);
  for (const node of order.reverse()) {
    if (!node.gradient || !needed.has(node)) continue;
    const outputGradients = node.outputs.map((output) => gradients.get(output));
    if (outputGradients.every((gradient) => gradient === undefined)) continue;
    for (const [i, gradient] of node.gradient(outputGradients).entries()) {
      if (gradient) accumulate(at(node.inputs, i), gradient);
    }
  }
  return targets.map((target) => gradients.get(target) ?? constantZeros(target.shape));
}

/** The nodes, in topological order, that depend on some target. */
export function dependents(order: readonly Node[], targets: readonly SymbolicTensor[]): Set<Node> {
  const wanted = new Set(targets);
  const needed = new Set<Node>();
  for (const node of order) {
    const depends = node.inputs.some(
      (symbol) => wanted.has(symbol) || (symbol.source.kind === 'node' && needed.has(symbol.source.node)),
    );
    if (depends) needed.add(node);
  }
  return needed;
}

/** Gradients of a scalar. */
export function gradientsOf(loss: SymbolicTensor, targets: readonly SymbolicTensor[]): SymbolicTensor[] {
  if (loss.shape.length !== 0) {
    throw new ShapeError(`gradientsOf: expected a scalar, got ${showShape(loss.shape)}; reduce it first`);
  }
  return backpropagate([{ output: loss, gradient: scalar(1) }], targets);
}
