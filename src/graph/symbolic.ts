/**
 * @file Symbolic tensors: what a program computes, before it runs. A symbol is an input, a constant, or an
 * output of a node; following the nodes back from the outputs gives the whole graph, so there is no
 * builder object and no global state.
 */

import { at } from '../at.ts';
import { ShapeError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A known size, or the name of one that is known only when the program runs. */
export type Dim = number | string;
/** The sizes of a tensor; names are sizes that are known when a program runs. */
export type Shape = readonly Dim[];

/**
 * Element types that graphs compute with. The operators of `operators/` compute in float32. A `sequence` is not a tensor,
 * but an empty list of them.
 */
export type SymbolType =
  | 'float32'
  | 'float16'
  | 'float64'
  | 'int32'
  | 'int64'
  | 'int8'
  | 'uint8'
  | 'bool'
  | 'sequence';

/** A tensor that a program will hold. */
export interface SymbolicTensor {
  readonly dtype: SymbolType;
  readonly shape: Shape;
  readonly source: Source;
}

/** Where a symbolic tensor comes from. */
export type Source =
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly value: Tensor }
  | { readonly kind: 'node'; readonly node: Node; readonly index: number };

/** A constant setting of a node. Numbers are integers in ONNX, unless marked as `float`. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/**
 * Gradients of a node's inputs from the gradients of its outputs. An undefined output gradient is zero; an
 * undefined input gradient means none flows there.
 */
export type GradientRule = (
  outputGradients: readonly (SymbolicTensor | undefined)[],
) => readonly (SymbolicTensor | undefined)[];

/** One application of an ONNX operator. */
export interface Node {
  readonly operator: string;
  readonly domain: string;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Absent where no gradient passes, such as through a comparison. */
  readonly gradient?: GradientRule;
  /** Worth saving for a backward program. */
  readonly remembered?: boolean;
}

/** A tensor fed to the program under `name`. */
export function input(name: string, shape: Shape, dtype: SymbolType = 'float32'): SymbolicTensor {
  return { dtype, shape, source: { kind: 'input', name } };
}

/** The name of an input. @throws {ShapeError} if the symbol is not one. */
export function inputName({ source, shape }: SymbolicTensor): string {
  if (source.kind === 'input') return source.name;
  throw new ShapeError(
    `graph: an input of a graph must be made by input(); ${showShape(shape)} is a ${source.kind}`,
  );
}

/** A tensor that is part of the program. */
export function constant(value: Tensor): SymbolicTensor {
  const { dtype, shape } = value;
  if (dtype !== 'float32' && dtype !== 'int64' && dtype !== 'uint8' && dtype !== 'bool') {
    throw new ShapeError(
      `constant: graphs hold float32, int64, uint8 or bool, got ${dtype}; convert it first`,
    );
  }
  return { dtype, shape, source: { kind: 'constant', value } };
}

/** A float32 scalar constant. */
export function scalar(value: number): SymbolicTensor {
  return constant({ dtype: 'float32', shape: [], data: Float32Array.of(value) });
}

/** A vector of int64, as ONNX wants for axes, shapes and indices. */
export function integers(values: readonly number[]): SymbolicTensor {
  return constant({ dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values.map(BigInt)) });
}

/** The form of an output of a node. */
export interface OutputSpec {
  readonly shape: Shape;
  /** Default: float32. */
  readonly dtype?: SymbolType;
}

/** What {@link apply} needs to know of a node. */
export interface NodeSpec
  extends Pick<Node, 'operator' | 'inputs'>,
    Partial<Pick<Node, 'domain' | 'attributes'>> {
  readonly outputs: readonly OutputSpec[];
  /** Gets the node's own outputs too, for rules that reuse them. */
  readonly gradient?: (
    gradients: Parameters<GradientRule>[0],
    outputs: readonly SymbolicTensor[],
  ) => ReturnType<GradientRule>;
}

/** Add a node and return its outputs. */
export function apply(spec: NodeSpec): readonly SymbolicTensor[] {
  const { operator, domain = '', inputs, attributes = {}, gradient: rule } = spec;
  const outputs: SymbolicTensor[] = [];
  const gradient: GradientRule | undefined = rule && ((gradients) => rule(gradients, outputs));
  const node: Node = { operator, domain, inputs, attributes, outputs, ...(gradient && { gradient }) };
  for (const [index, { shape, dtype = 'float32' }] of spec.outputs.entries()) {
    outputs.push({ dtype, shape, source: { kind: 'node', node, index } });
  }
  return outputs;
}

/** A node with one output, of the first input's type by default. */
export interface SingleSpec extends Omit<NodeSpec, 'outputs' | 'gradient'>, OutputSpec {
  /** Gets the gradient of the node's output, and the output. */
  readonly gradient?: (gradient: SymbolicTensor, output: SymbolicTensor) => ReturnType<GradientRule>;
}

/** Add a node with one output and return that. */
export function applyOne(spec: SingleSpec): SymbolicTensor {
  const { shape, dtype = at(spec.inputs, 0).dtype, gradient: rule, ...node } = spec;
  const gradient: NodeSpec['gradient'] =
    rule && (([gradient], [output]) => (gradient && output ? rule(gradient, output) : []));
  return at(apply({ ...node, outputs: [{ shape, dtype }], ...(gradient && { gradient }) }), 0);
}

/** The same values, worth saving for a backward program although no single operator that makes them is expensive. */
export function remember(x: SymbolicTensor): SymbolicTensor {
  if (x.source.kind !== 'node') return x;
  return at(changedNode(x.source.node, { remembered: true }), x.source.index);
}

/** The outputs of a node that is like another but for some changes. */
export function changedNode(
  node: Node,
  changes: Partial<Pick<Node, 'inputs' | 'remembered'>>,
): readonly SymbolicTensor[] {
  const outputs: SymbolicTensor[] = [];
  const changed: Node = { ...node, ...changes, outputs };
  for (const [index, output] of node.outputs.entries()) {
    outputs.push({ ...output, source: { kind: 'node', node: changed, index } });
  }
  return outputs;
}

/** Every node that the given symbols depend on, each after the nodes it depends on. */
export function topologicalOrder(outputs: readonly SymbolicTensor[]): Node[] {
  const order: Node[] = [];
  const seen = new Set<Node>();
  // An explicit stack: a deep graph would overflow a recursive walk.
  const stack: { node: Node; next: number }[] = [];
  const enter = (symbol: SymbolicTensor): void => {
    if (symbol.source.kind !== 'node' || seen.has(symbol.source.node)) return;
    seen.add(symbol.source.node);
    stack.push({ node: symbol.source.node, next: 0 });
  };
  for (const output of outputs) {
    enter(output);
    while (stack.length > 0) {
      const top = at(stack, -1);
      const symbol = top.node.inputs[top.next++];
      if (symbol) enter(symbol);
      else {
        order.push(top.node);
        stack.pop();
      }
    }
  }
  return order;
}

/** `[2, 256, cached]`, for messages. */
export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}
