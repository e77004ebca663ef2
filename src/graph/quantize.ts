/**
 * @file Products in 8 bits: a pass over a graph and its weights, of which model code knows nothing. Each row of a product's
 * left side is divided by its largest magnitude and rounded to 8 bits, and so is each column of the weights. The integers
 * are multiplied and summed exactly, so a row's result does not depend on the other rows.
 */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { sliceAxis } from '../tensor/axes.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { type Graph, graphOf } from './onnx.ts';
import { add, divide, multiply, scale } from './operators/index.ts';
import { substituteInGraph } from './partition.ts';
import { applyOne, constant, input, inputName, integers, type SymbolicTensor, scalar } from './symbolic.ts';

/** The middle of the 256 values of a row's elements, which stands for 0. */
const ZERO_POINT = 128;
/** A row's largest magnitude is this far from it. */
const LARGEST = 127;
/** A row of zeros is divided by this. */
const SMALLEST = 1e-30;

/** Bits of a weight: 8, or 7 for processors that add two products in 16 bits, where those of 8 bits overflow. */
export type WeightBits = 8 | 7;

/** How {@link quantizeProducts} rounds weights. */
export interface QuantizeOptions {
  readonly bits: WeightBits;
  /** Whether the product with this weight stays in float32. */
  readonly isExact: (weight: string) => boolean;
}

/** A graph, and the values of those of its inputs that are weights. */
export interface BoundGraph {
  readonly graph: Graph;
  readonly weights: Readonly<Record<string, Tensor>>;
}

/** A graph whose weights are not rounded. */
export interface FloatGraph extends BoundGraph {
  readonly weights: Readonly<Record<string, Tensor<'float32'>>>;
}

/**
 * Replaces products x Wᵀ with bound weights (N, K) by products in 8 bits.
 * @throws {ArgumentError} if a weight is not finite
 */
export function quantizeProducts(
  { graph, weights }: FloatGraph,
  { bits, isExact }: QuantizeOptions,
): BoundGraph {
  const quantized: Record<string, Tensor> = {};
  const { outputs } = substituteInGraph(graph, ({ source }, inputs) => {
    if (source.kind !== 'node' || source.node.operator !== 'Gemm') return undefined;
    const { transA, transB } = source.node.attributes;
    const weight = partOfWeight(at(inputs, 1), weights);
    if (transA !== 0 || transB !== 1 || !weight || isExact(weight.name)) return undefined;
    const { values, scales } = quantizeColumns(weight.name, weight.part(), bits);
    const names = { values: `${weight.key}.int8`, scales: `${weight.key}.scales` };
    Object.assign(quantized, { [names.values]: values, [names.scales]: scales });
    const product = byteProduct(
      at(inputs, 0),
      input(names.values, values.shape, 'int8'),
      input(names.scales, scales.shape),
    );
    return inputs[2] ? add(product, inputs[2]) : product;
  });
  const result = graphOf(outputs);
  const taken = new Set(result.inputs.map(inputName));
  const kept = Object.entries({ ...weights, ...quantized }).filter(([name]) => taken.has(name));
  return { graph: result, weights: Object.fromEntries(kept) };
}

/** x (M, K), rounded to 8 bits, times `values` (K, N) int8 with a scale for each column (N): (M, N). */
export function byteProduct(
  x: SymbolicTensor,
  values: SymbolicTensor,
  scales: SymbolicTensor,
): SymbolicTensor {
  const rows = at(x.shape, 0);
  const ofRows = (operator: string, of: SymbolicTensor): SymbolicTensor =>
    applyOne({ operator, inputs: [of, integers([1])], attributes: { keepdims: 1 }, shape: [rows, 1] });
  const largest = ofRows('ReduceMax', applyOne({ operator: 'Abs', inputs: [x], shape: x.shape }));
  const divisor = applyOne({ operator: 'Max', inputs: [largest, scalar(SMALLEST)], shape: [rows, 1] });
  const step = scalar(1 / LARGEST);
  const zeroPoint = constant(tensor('uint8', [], Uint8Array.of(ZERO_POINT)));
  const rounded = applyOne({
    operator: 'QuantizeLinear',
    inputs: [divide(x, divisor), step, zeroPoint],
    shape: x.shape,
    dtype: 'uint8',
  });
  const product = applyOne({
    operator: 'MatMulIntegerToFloat',
    domain: 'com.microsoft',
    inputs: [rounded, values, step, scales, zeroPoint],
    shape: [rows, at(values.shape, 1)],
    dtype: 'float32',
  });
  // The largest of some values overlooks NaN, and so does rounding; a sum does not.
  return multiply(product, add(divisor, scale(ofRows('ReduceL1', x), 0)));
}

/** A weight, or what a Split of it gives. */
interface WeightPart {
  /** Of the whole weight. */
  readonly name: string;
  /** A name of the part's own. */
  readonly key: string;
  part(): Tensor<'float32'>;
}

function partOfWeight(
  { source }: SymbolicTensor,
  weights: Readonly<Record<string, Tensor<'float32'>>>,
): WeightPart | undefined {
  if (source.kind === 'input') {
    const whole = weights[source.name];
    return whole && { name: source.name, key: source.name, part: () => whole };
  }
  if (source.kind !== 'node' || source.node.operator !== 'Split') return undefined;
  const { node, index } = source;
  const whole = partOfWeight(at(node.inputs, 0), weights);
  if (!whole) return undefined;
  const axis = Number(node.attributes.axis);
  const sizes = node.outputs.map(({ shape }) => Number(at(shape, axis)));
  const start = sizes.slice(0, index).reduce((sum, size) => sum + size, 0);
  return {
    name: whole.name,
    key: `${whole.key}.${index}`,
    part: () => sliceAxis(whole.part(), axis, start, start + at(sizes, index)),
  };
}

/** Rows of the weight that are transposed together: their lines of the result stay in the processor's cache. */
const TOGETHER = 64;

/** Rounds a weight (N, K) to integers (K, N), with a scale for each of its N rows. */
function quantizeColumns(
  name: string,
  { shape, data }: Tensor<'float32'>,
  bits: WeightBits,
): { values: Tensor<'int8'>; scales: Tensor<'float32'> } {
  const [columns, inner] = [at(shape, 0), at(shape, 1)];
  const most = 2 ** (bits - 1) - 1;
  const values = new Int8Array(columns * inner);
  const scales = new Float32Array(columns);
  for (let first = 0; first < columns; first += TOGETHER) {
    const end = Math.min(first + TOGETHER, columns);
    const factors = new Float64Array(end - first);
    for (let column = first; column < end; column++) {
      const largest = largestMagnitude(data.subarray(column * inner, (column + 1) * inner));
      if (!Number.isFinite(largest)) {
        throw new ArgumentError(
          `int8: weight '${name}' has a value that is not finite; such a model makes no images`,
        );
      }
      scales[column] = largest / most || 1;
      factors[column - first] = 1 / (scales[column] ?? 1);
    }
    for (let row = 0; row < inner; row++) {
      for (let column = first; column < end; column++) {
        const value = (data[column * inner + row] ?? 0) * (factors[column - first] ?? 0);
        values[row * columns + column] = Math.max(-most, Math.min(most, Math.round(value)));
      }
    }
  }
  return { values: tensor('int8', [inner, columns], values), scales: float32([columns], scales) };
}

/** NaN if any value is NaN. */
function largestMagnitude(values: Float32Array): number {
  let largest = 0;
  for (const value of values) {
    const magnitude = Math.abs(value);
    if (!(magnitude <= largest)) largest = magnitude;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}
