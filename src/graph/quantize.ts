/**
 * @file Products in 8 bits: a pass over a graph and its weights, of which model code knows nothing. Each row of a product's
 * left side is divided by its largest magnitude and rounded to 8 bits, and so is each column of the weights. The integers
 * are multiplied and summed exactly, so a row's result does not depend on the other rows.
 */

import { at, get, take } from '../at.ts';
import { type RoundedMatrix, type RoundingResult, roundMatrix } from '../tensor/round-rows.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { type Graph, graphOf } from './onnx.ts';
import { add, multiply, negate, reshape, scale } from './operators/index.ts';
import { substituteInGraph } from './partition.ts';
import { sameShape } from './shapes.ts';
import {
  applyOne,
  constant,
  input,
  inputName,
  integers,
  type Shape,
  type SymbolicTensor,
  scalar,
} from './symbolic.ts';

/** The middle of the 256 values of a row's elements, which stands for 0. */
const ZERO_POINT = 128;
/** A row's largest magnitude is 127 steps from it. */
const STEP = 1 / 127;
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
 * Replaces products x Wᵀ with bound weights (N, K) by products in 8 bits. Products whose weights have outliers, which would make
 * others of their row vanish, stay as they are.
 * @throws {ArgumentError} if a weight is not finite
 */
export function quantizeProducts(
  { graph, weights }: FloatGraph,
  { bits, isExact }: QuantizeOptions,
): BoundGraph {
  const quantized: Record<string, Tensor> = {};
  const rounding = sharedRounding();
  const rounded = new Map<string, RoundingResult>();
  const { outputs } = substituteInGraph(graph, ({ source }, inputs) => {
    if (source.kind !== 'node' || source.node.operator !== 'Gemm') return undefined;
    const { transA, transB } = source.node.attributes;
    const weight = partOfWeight(at(inputs, 1), weights);
    if (transA !== 0 || transB !== 1 || !weight || isExact(weight.name)) return undefined;
    const whole = rounded.get(weight.name) ?? roundMatrix(weight.name, get(weights, weight.name), bits);
    rounded.set(weight.name, whole);
    if (whole.hasOutliers) return undefined;
    const { values, scales } = transposedPart(whole, weight);
    const names = { values: `${weight.key}.int8`, scales: `${weight.key}.scales` };
    Object.assign(quantized, { [names.values]: values, [names.scales]: scales });
    const product = byteProduct(
      rounding(at(inputs, 0)),
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

/** Rows that are rounded to 8 bits. */
export interface RoundedRows {
  /** (M, K) uint8: what a row's elements are rounded to, as shares of its largest magnitude. */
  readonly values: SymbolicTensor;
  /** (M, 1): each row's largest magnitude; NaN if it holds NaN. */
  readonly factors: SymbolicTensor;
}

/** Rounds each row of x (M, K). */
export function roundRows(x: SymbolicTensor): RoundedRows {
  const perRow: Shape = [at(x.shape, 0)];
  const ofRows = (operator: string): SymbolicTensor =>
    applyOne({ operator, inputs: [x, integers([1])], attributes: { keepdims: 0 }, shape: perRow });
  const largest = applyOne({
    operator: 'Max',
    inputs: [ofRows('ReduceMax'), negate(ofRows('ReduceMin')), scalar(SMALLEST)],
    shape: perRow,
  });
  const size = applyOne({ operator: 'Shape', inputs: [largest], shape: [1], dtype: 'int64' });
  const values = applyOne({
    operator: 'QuantizeLinear',
    inputs: [
      x,
      scale(largest, STEP),
      applyOne({ operator: 'Expand', inputs: [zeroPoint(), size], shape: perRow }),
    ],
    attributes: { axis: 0 },
    shape: x.shape,
    dtype: 'uint8',
  });
  // The largest of some values overlooks NaN, and so does rounding; a sum does not.
  const factors = add(largest, scale(ofRows('ReduceSum'), 0));
  return { values, factors: reshape(factors, [...perRow, 1]) };
}

function zeroPoint(): SymbolicTensor {
  return constant(tensor('uint8', [], Uint8Array.of(ZERO_POINT)));
}

/** Rounded rows (M, K) times `weight` (K, N) int8 with a scale for each column (N): (M, N). */
export function byteProduct(
  { values, factors }: RoundedRows,
  weight: SymbolicTensor,
  scales: SymbolicTensor,
): SymbolicTensor {
  const product = applyOne({
    operator: 'MatMulIntegerToFloat',
    domain: 'com.microsoft',
    inputs: [values, weight, scalar(STEP), scales, zeroPoint()],
    shape: [at(values.shape, 0), at(weight.shape, 1)],
    dtype: 'float32',
  });
  return multiply(product, factors);
}

/** Rounds what several products multiply only once. */
function sharedRounding(): typeof roundRows {
  const rounded = new Map<SymbolicTensor, RoundedRows>();
  return (x) => {
    const { source } = x;
    // Each product has a view of its own of the same tensor.
    const whole =
      source.kind === 'node' && source.node.operator === 'Reshape' ? at(source.node.inputs, 0) : x;
    const earlier = rounded.get(whole);
    if (earlier && sameShape(earlier.values.shape, x.shape)) return earlier;
    const rows = roundRows(x);
    rounded.set(whole, rows);
    return rows;
  };
}

/** A weight, or what a Split of it gives: its rows and columns from a start to before an end. */
interface WeightPart {
  readonly name: string;
  /** A name of the part's own. */
  readonly key: string;
  readonly rows: readonly [start: number, end: number];
  readonly columns: readonly [start: number, end: number];
}

function partOfWeight(
  { source, shape }: SymbolicTensor,
  weights: FloatGraph['weights'],
): WeightPart | undefined {
  if (source.kind === 'input') {
    if (!Object.hasOwn(weights, source.name)) return undefined;
    const [rows, columns] = take(shape.map(Number), 2);
    return { name: source.name, key: source.name, rows: [0, rows], columns: [0, columns] };
  }
  if (source.kind !== 'node' || source.node.operator !== 'Split') return undefined;
  const { node, index } = source;
  const whole = partOfWeight(at(node.inputs, 0), weights);
  if (!whole) return undefined;
  const along = node.attributes.axis === 0 ? 'rows' : 'columns';
  const axis = along === 'rows' ? 0 : 1;
  const sizes = node.outputs.map((output) => Number(at(output.shape, axis)));
  const start = sizes.slice(0, index).reduce((sum, size) => sum + size, whole[along][0]);
  return { ...whole, key: `${whole.key}.${index}`, [along]: [start, start + at(sizes, index)] };
}

/** Rows that are transposed together: their lines of the result stay in the processor's cache. */
const TOGETHER = 64;

/** Part of a rounded weight (N, K), as a product takes it: integers (K, N). */
function transposedPart({ values, scales }: RoundedMatrix, { rows, columns }: WeightPart): RoundedMatrix {
  const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
  const inner = at(values.shape, 1);
  const result = new Int8Array(height * width);
  for (let first = 0; first < height; first += TOGETHER) {
    const end = Math.min(first + TOGETHER, height);
    for (let column = 0; column < width; column++) {
      for (let row = first; row < end; row++) {
        result[column * height + row] = values.data[(rows[0] + row) * inner + columns[0] + column] as number;
      }
    }
  }
  return {
    values: tensor('int8', [width, height], result),
    scales: float32([height], scales.data.slice(...rows)),
  };
}
