/**
 * @file Products in half precision: a pass over a graph and its weights, of which model code knows nothing. Factors are
 * rounded to 16 bits, and so is what passes between products without being computed with. Everything else, such as norms,
 * softmax and modulation, stays in float32: in half floats the mean of squares overflows at 256.
 */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { toFloatType } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Graph, graphOf } from './onnx.ts';
import { substitute } from './partition.ts';
import type { BoundGraph, FloatGraph } from './quantize.ts';
import {
  apply,
  applyOne,
  changedNode,
  input,
  inputName,
  type Node,
  type SymbolicTensor,
} from './symbolic.ts';

/** Operators that are computed in half precision. */
const PRODUCTS = new Set(['Gemm', 'MatMul', 'FusedMatMul', 'MultiHeadAttention']);

/** Operators that a half float passes through: they move values, or, as GELU, change them no more than rounding does. */
const PASSING = new Set(['Concat', 'Gather', 'Gelu', 'Reshape', 'Split', 'Transpose']);

/** ONNX's numbers of element types. */
const ONNX_TYPES = { float32: 1, float16: 10 } as const;

/** What {@link halveProducts} leaves as it is, and what else it halves. */
export interface HalveOptions {
  /** Whether the product with this weight stays in float32. */
  readonly isExact: (weight: string) => boolean;
  /** Whether an input that is not a weight, or an output, is in half floats, such as keys that are kept for later runs. */
  readonly isHalf?: (name: string) => boolean;
}

/**
 * Computes products in half precision, with bound weights in half floats.
 * @throws {ArgumentError} if a weight is beyond the largest half float
 */
export function halveProducts(
  { graph, weights }: FloatGraph,
  { isExact, isHalf = () => false }: HalveOptions,
): BoundGraph {
  const halves = new Map<SymbolicTensor, SymbolicTensor>();
  const whole = wholeInputs((name) => isHalf(name) && !Object.hasOwn(weights, name));
  /** Names of weights that are bound in half floats. */
  const halved = new Set<string>();

  function half(symbol: SymbolicTensor): SymbolicTensor {
    const known = halves.get(symbol) ?? makeHalf(symbol);
    halves.set(symbol, known);
    return known;
  }

  function makeHalf(symbol: SymbolicTensor): SymbolicTensor {
    const { source, shape, dtype } = symbol;
    if (dtype !== 'float32') return symbol;
    if (source.kind === 'input' && Object.hasOwn(weights, source.name)) {
      halved.add(source.name);
      return input(halfName(source.name), shape, 'float16');
    }
    if (source.kind === 'node') {
      const { node, index } = source;
      if (node.operator === 'Cast' && at(node.inputs, 0).dtype === 'float16') return at(node.inputs, 0);
      if (PASSING.has(node.operator)) {
        const outputs = inHalf(node, node.inputs.map(half));
        for (const [i, output] of node.outputs.entries()) halves.set(output, at(outputs, i));
        return at(outputs, index);
      }
    }
    return cast(symbol, 'float16');
  }

  function isExactWeight(symbol: SymbolicTensor): boolean {
    const name = nameOfInput(symbol);
    return name !== undefined && Object.hasOwn(weights, name) && isExact(name);
  }

  const replaced = substitute(Object.values(graph.outputs), ({ source }, given) => {
    if (source.kind !== 'node') return undefined;
    const { node, index } = source;
    const inputs = given.map(whole);
    if (PRODUCTS.has(node.operator) && !inputs.some(isExactWeight)) {
      return cast(at(inHalf(node, inputs.map(half)), index), 'float32');
    }
    if (inputs.every((symbol, i) => symbol === given[i])) return undefined;
    return at(changedNode(node, { inputs }), index);
  });
  const result = graphOf(
    Object.fromEntries(
      Object.keys(graph.outputs).map((name, i) => {
        const output = at(replaced, i);
        return [name, isHalf(name) ? half(output) : output];
      }),
    ),
  );
  return { graph: result, weights: boundWeights(result, weights, halved) };
}

/** Makes float32 of inputs that are half floats. */
function wholeInputs(isHalf: (name: string) => boolean): (symbol: SymbolicTensor) => SymbolicTensor {
  const wholes = new Map<SymbolicTensor, SymbolicTensor>();
  return (symbol) => {
    const { source, shape } = symbol;
    if (source.kind !== 'input' || !isHalf(source.name)) return symbol;
    const known = wholes.get(symbol) ?? cast(input(source.name, shape, 'float16'), 'float32');
    wholes.set(symbol, known);
    return known;
  };
}

/** Values of a graph's weights; those that are halved come in half floats. */
function boundWeights(
  { inputs }: Graph,
  weights: FloatGraph['weights'],
  halved: ReadonlySet<string>,
): Record<string, Tensor> {
  const taken = new Set(inputs.map(inputName));
  const bound: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(weights)) {
    if (taken.has(name)) bound[name] = value;
    if (halved.has(name)) bound[halfName(name)] = halfWeight(name, value);
  }
  return bound;
}

function halfName(weight: string): string {
  return `${weight}.half`;
}

/** The name of an input, whole or a piece of it. */
function nameOfInput({ source }: SymbolicTensor): string | undefined {
  if (source.kind === 'input') return source.name;
  if (source.kind === 'node' && source.node.operator === 'Split')
    return nameOfInput(at(source.node.inputs, 0));
  return undefined;
}

/** The outputs of a node whose results have the type of its inputs, which are half floats now. */
function inHalf({ operator, domain, attributes, outputs }: Node, inputs: readonly SymbolicTensor[]) {
  return apply({
    operator,
    domain,
    inputs,
    attributes,
    outputs: outputs.map(({ shape, dtype }) => ({ shape, dtype: dtype === 'float32' ? 'float16' : dtype })),
  });
}

function cast(x: SymbolicTensor, dtype: keyof typeof ONNX_TYPES): SymbolicTensor {
  return applyOne({
    operator: 'Cast',
    inputs: [x],
    attributes: { to: ONNX_TYPES[dtype] },
    shape: x.shape,
    dtype,
  });
}

/** Bits of a half float's exponent, which are all set if it is infinite or NaN. */
const EXPONENT = 0x7c00;

function halfWeight(name: string, value: Tensor<'float32'>): Tensor {
  const rounded = toFloatType(value, 'float16');
  if ((rounded.data as Uint16Array).some((bits) => (bits & EXPONENT) === EXPONENT)) {
    throw new ArgumentError(
      `precision fp16: weight ${name} has values that are not finite or beyond 65504, the largest half float; use fp32`,
    );
  }
  return rounded;
}
