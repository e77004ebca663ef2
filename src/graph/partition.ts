/**
 * @file Cut a function and its gradient into a forward and a backward program that run at different times,
 * choosing what the first saves for the second: the results of matrix products are saved, everything cheap
 * is computed again (activation checkpointing, Chen et al. 2016).
 */

import { at } from '../at.ts';
import { ShapeError } from '../errors.ts';
import { backpropagate, dependents } from './gradient.ts';
import type { Graph } from './onnx.ts';
import { substitute } from './substitute.ts';
import { input, type Node, type SymbolicTensor, topologicalOrder } from './symbolic.ts';

/** A function of named tensors. */
export interface Stage {
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: Readonly<Record<string, SymbolicTensor>>;
}

/** A stage and its gradient, as two programs. */
export interface DifferentiableStage {
  /** Gives the stage's outputs, and what the backward program needs as `saved.N`. */
  readonly forward: Graph;
  /** Takes the stage's inputs, `saved.N`, and `d.<output>`; gives `d.<input>`. */
  readonly backward: Graph;
  /** Shapes of what is saved. */
  readonly saved: readonly SymbolicTensor[];
}

/** Operators whose results cost too much to compute twice. */
const EXPENSIVE = new Set(['Gemm', 'MatMul', 'FusedMatMul', 'Softmax']);

/**
 * Differentiate a stage.
 * @param targets names of the inputs whose gradients are wanted.
 */
export function differentiate(stage: Stage, targets: readonly string[]): DifferentiableStage {
  const inputNamed = new Map(stage.inputs.map((symbol) => [inputName(symbol), symbol]));
  const seeds = Object.entries(stage.outputs).map(([name, output]) => ({
    output,
    gradient: input(`d.${name}`, output.shape, output.dtype),
  }));
  const wanted = targets.map((name) => {
    const symbol = inputNamed.get(name);
    if (!symbol) throw new ShapeError(`differentiate: '${name}' is not an input of the stage`);
    return symbol;
  });
  const gradients = backpropagate(seeds, wanted);
  const forwardNodes = new Set(topologicalOrder(Object.values(stage.outputs)));
  const incoming = seeds.map((seed) => seed.gradient);
  const saved = chooseSaved(gradients, forwardNodes, dependents(topologicalOrder(gradients), incoming));
  const replacements = new Map(
    saved.map((symbol, i) => [symbol, input(`saved.${i}`, symbol.shape, symbol.dtype)]),
  );
  const backwardOutputs = substitute(gradients, (symbol) => replacements.get(symbol));
  const available = [...stage.inputs, ...replacements.values(), ...incoming];
  const used = new Set(topologicalOrder(backwardOutputs).flatMap((node) => node.inputs));
  for (const output of backwardOutputs) used.add(output);
  return {
    forward: {
      inputs: stage.inputs,
      outputs: { ...stage.outputs, ...Object.fromEntries(saved.map((symbol, i) => [`saved.${i}`, symbol])) },
    },
    backward: {
      inputs: available.filter((symbol) => used.has(symbol)),
      outputs: Object.fromEntries(targets.map((name, i) => [`d.${name}`, at(backwardOutputs, i)])),
    },
    saved,
  };
}

function inputName(symbol: SymbolicTensor): string {
  if (symbol.source.kind !== 'input')
    throw new ShapeError('differentiate: a stage input must be made by input()');
  return symbol.source.name;
}

/**
 * What is met first when walking back from the gradients: expensive forward results, and whatever was remembered, even
 * if only the gradients need it, so long as it does not depend on what comes in from behind.
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
