/**
 * @file Cuts a graph into programs that run at different times. What a later program needs of an earlier one is a result of
 * an expensive operator, such as a matrix product, or leads back to one; everything cheap is computed again. Forward and
 * backward passes are cut in this way (activation checkpointing, Chen et al. 2016), and so is a model at its attentions.
 */

import { at } from '../at.ts';
import { ShapeError } from '../errors.ts';
import { backpropagate, dependents } from './gradient.ts';
import { type Graph, graphOf } from './onnx.ts';
import {
  changedNode,
  input,
  inputName,
  type Node,
  type SymbolicTensor,
  topologicalOrder,
} from './symbolic.ts';

/**
 * Cuts a graph at inputs that are known late: each is made of outputs of the parts before it, while the graph runs.
 * Some may be known together. A part holds everything that can be computed once its late inputs are known, and takes what it needs of earlier parts as
 * inputs `<carry>.0`, `<carry>.1` and so on, which are outputs of the part that computes them. Gradient rules know the
 * graph as it was, so differentiate before you cut.
 * @returns one part more than there are late inputs
 */
export function cutAt(
  graph: Graph,
  lateInputs: readonly (SymbolicTensor | readonly SymbolicTensor[])[],
  carry = 'carry',
): Graph[] {
  const outputs = Object.entries(graph.outputs);
  const order = topologicalOrder(outputs.map(([, symbol]) => symbol));
  const waiting = lateInputs.map((late) => dependents(order, [late].flat()));
  const partOf = ({ source }: SymbolicTensor): number =>
    source.kind === 'node' ? waiting.findLastIndex((nodes) => nodes.has(source.node)) + 1 : 0;
  const carried = carriedSymbols(order, partOf);
  const carries = new Map(
    carried.map((symbol, i) => [symbol, input(`${carry}.${i}`, symbol.shape, symbol.dtype)]),
  );
  return Array.from({ length: lateInputs.length + 1 }, (_, part) => {
    const named = [...carried.map((symbol, i) => [`${carry}.${i}`, symbol] as const), ...outputs].filter(
      ([, symbol]) => partOf(symbol) === part,
    );
    const symbols = substitute(
      named.map(([, symbol]) => symbol),
      (symbol) => (partOf(symbol) < part ? carries.get(symbol) : undefined),
    );
    return graphOf(Object.fromEntries(named.map(([name], i) => [name, at(symbols, i)])));
  });
}

/** What nodes read of earlier parts, but for what cheap operators compute of the graph's inputs. */
function carriedSymbols(
  order: readonly Node[],
  partOf: (symbol: SymbolicTensor) => number,
): SymbolicTensor[] {
  const expensive = order.filter(({ operator }) => EXPENSIVE.has(operator));
  const products = expensive.flatMap(({ outputs }) => outputs);
  const costly = new Set([...expensive, ...dependents(order, products)]);
  const carried = order.flatMap(({ inputs, outputs }) =>
    inputs.filter(
      (symbol) =>
        symbol.source.kind === 'node' &&
        costly.has(symbol.source.node) &&
        partOf(symbol) < partOf(at(outputs, 0)),
    ),
  );
  return [...new Set(carried)];
}

/** A graph and its gradient, as two programs. */
export interface DifferentiatedGraph {
  /** Gives the graph's outputs, and what the backward program needs as `<saved>.N`. */
  readonly forward: Graph;
  /** Takes the graph's inputs, `<saved>.N`, and `d.<output>`; gives `d.<input>`. */
  readonly backward: Graph;
  /** Shapes of what is saved. */
  readonly saved: readonly SymbolicTensor[];
}

/** Operators whose results cost too much to compute twice. */
const EXPENSIVE = new Set(['Gemm', 'MatMul', 'FusedMatMul', 'Softmax']);

/**
 * Differentiates a graph.
 * @param targets names of the inputs whose gradients are wanted.
 * @param savedName what the names of saved values begin with
 * @throws {ShapeError} if a target is not an input of the graph.
 */
export function differentiate(
  graph: Graph,
  targets: readonly string[],
  savedName = 'saved',
): DifferentiatedGraph {
  const inputNamed = new Map(graph.inputs.map((symbol) => [inputName(symbol), symbol]));
  const seeds = Object.entries(graph.outputs).map(([name, output]) => ({
    output,
    gradient: input(`d.${name}`, output.shape, output.dtype),
  }));
  const wanted = targets.map((name) => {
    const symbol = inputNamed.get(name);
    if (!symbol) throw new ShapeError(`differentiate: '${name}' is not an input of the graph`);
    return symbol;
  });
  const gradients = backpropagate(seeds, wanted);
  const forwardNodes = new Set(topologicalOrder(Object.values(graph.outputs)));
  const incoming = seeds.map((seed) => seed.gradient);
  const saved = chooseSaved(gradients, forwardNodes, dependents(topologicalOrder(gradients), incoming));
  const replacements = new Map(
    saved.map((symbol, i) => [symbol, input(`${savedName}.${i}`, symbol.shape, symbol.dtype)]),
  );
  const backwardOutputs = substitute(gradients, (symbol) => replacements.get(symbol));
  return {
    forward: {
      inputs: graph.inputs,
      outputs: {
        ...graph.outputs,
        ...Object.fromEntries(saved.map((symbol, i) => [`${savedName}.${i}`, symbol])),
      },
    },
    backward: graphOf(Object.fromEntries(targets.map((name, i) => [`d.${name}`, at(backwardOutputs, i)]))),
    saved,
  };
}

/**
 * What is met first when walking back from the gradients: expensive forward results, and remembered values, even if
 * only the gradients need them, so long as they do not depend on the incoming gradients.
 */
function chooseSaved(
  gradients: readonly SymbolicTensor[],
  forwardNodes: ReadonlySet<Node>,
  afterIncoming: ReadonlySet<Node>,
): SymbolicTensor[] {
  const isWorthSaving = (node: Node): boolean =>
    node.remembered ? !afterIncoming.has(node) : forwardNodes.has(node) && EXPENSIVE.has(node.operator);
  const saved = new Set<SymbolicTensor>();
  const seen = new Set<SymbolicTensor>();
  const stack = [...gradients];
  while (stack.length > 0) {
    const symbol = stack.pop()!;
    if (seen.has(symbol) || symbol.source.kind !== 'node') continue;
    seen.add(symbol);
    const { node } = symbol.source;
    if (isWorthSaving(node)) saved.add(symbol);
    else stack.push(...node.inputs);
  }
  return [...saved];
}

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
