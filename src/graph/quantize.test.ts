import { afterAll, describe, expect, it } from 'vitest';
import { randomTensor } from '../../test/support/evaluate.ts';
import { at, get } from '../at.ts';
import { weightBits } from '../runtime/byte-products.ts';
import { openCpu } from '../runtime/node.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { graphOf } from './onnx.ts';
import { gelu, linear, linearOnto, split } from './operators/index.ts';
import { quantizeProducts, type WeightBits } from './quantize.ts';
import { input, topologicalOrder } from './symbolic.ts';

const device = openCpu();
afterAll(() => device.dispose());
/** 8 only where the processor multiplies these rightly. */
const detected = await weightBits(device);
const options = { bits: detected, isExact: () => false };

/** x Wᵀ + b with weights of some bits. */
async function productWith(
  bits: WeightBits,
  x: Tensor<'float32'>,
  weight: Tensor<'float32'>,
  bias?: Tensor<'float32'>,
): Promise<Float32Array> {
  const symbols = { weight: input('weight', weight.shape), bias: input('bias', [at(weight.shape, 0)]) };
  const rows = input('x', ['rows', at(x.shape, 1)]);
  const graph = graphOf({ y: linear(rows, symbols.weight, bias && symbols.bias) });
  const bound = quantizeProducts({ graph, weights: { weight, ...(bias && { bias }) } }, { ...options, bits });
  const program = await device.compile(bound.graph, bound.weights);
  const { data } = get(await program.run({ x }), 'y');
  await program.dispose();
  return data as Float32Array;
}

/** The product of float32, and how far the one in 8 bits may be from it: half a step of each factor times the other. */
function expected(
  x: Tensor<'float32'>,
  weight: Tensor<'float32'>,
  most: number,
): { value: number; bound: number }[] {
  const [rows, inner, columns] = [at(x.shape, 0), at(x.shape, 1), at(weight.shape, 0)];
  const row = ({ data }: Tensor<'float32'>, i: number) => [...data.subarray(i * inner, (i + 1) * inner)];
  const largest = (values: number[]) => Math.max(...values.map(Math.abs));
  return Array.from({ length: rows * columns }, (_, i) => {
    const [a, b] = [row(x, Math.floor(i / columns)), row(weight, i % columns)];
    const [stepA, stepB] = [largest(a) / 127 / 2, largest(b) / most / 2];
    const terms = a.map((value, k) => ({ a: value, b: at(b, k) }));
    return {
      value: terms.reduce((sum, { a, b }) => sum + a * b, 0),
      bound: terms.reduce(
        (sum, { a, b }) => sum + stepA * Math.abs(b) + stepB * Math.abs(a) + stepA * stepB,
        0,
      ),
    };
  });
}

function expectWithinStep(
  actual: Float32Array,
  x: Tensor<'float32'>,
  weight: Tensor<'float32'>,
  most: number,
): void {
  for (const [i, { value, bound }] of expected(x, weight, most).entries()) {
    expect(Math.abs(at(actual, i) - value)).toBeLessThanOrEqual(bound * (1 + 1e-5) + 1e-6);
  }
}

describe.each<WeightBits>(detected === 8 ? [8, 7] : [7])('products with weights of %i bits', (bits) => {
  const most = 2 ** (bits - 1) - 1;
  const product = (
    x: Tensor<'float32'>,
    weight: Tensor<'float32'>,
    bias?: Tensor<'float32'>,
  ): Promise<Float32Array> => productWith(bits, x, weight, bias);
  const expectWithin = (actual: Float32Array, x: Tensor<'float32'>, weight: Tensor<'float32'>): void =>
    expectWithinStep(actual, x, weight, most);

  it.each([
    [1, 1, 1],
    [1, 7, 3],
    [1, 64, 64],
    [1, 200, 100],
    [2, 33, 17],
    [5, 65, 1],
    [16, 100, 50],
    [67, 192, 70],
  ])('of %i rows, %i values and %i columns are as close as rounding allows', async (rows, inner, columns) => {
    const [x, weight] = [randomTensor([rows, inner], 1), randomTensor([columns, inner], 2)];
    expectWithin(await product(x, weight), x, weight);
  });

  it('are exact for whole numbers', async () => {
    const whole = (shape: [number, number], limit: number, seed: number) => {
      const { data } = randomTensor(shape, seed);
      const values = data.map((value) => Math.max(-limit, Math.min(limit, Math.round(value * limit))));
      // Each row and column has the largest value, so that steps are 1.
      for (let row = 0; row < shape[0]; row++) values[row * shape[1]] = limit;
      return float32(shape, values);
    };
    const [x, weight] = [whole([9, 40], 127, 3), whole([11, 40], most, 4)];
    const values = expected(x, weight, most).map(({ value }) => value);
    const actual = await product(x, weight);
    for (const [i, value] of values.entries()) expect(at(actual, i)).toBeCloseTo(value, 1);
  });

  it('survive outliers of 10,000 in some rows, which change no others', async () => {
    const [x, weight] = [randomTensor([8, 96], 5), randomTensor([24, 96], 6)];
    const calm = await product(x, weight);
    const wild = float32(x.shape, x.data.slice());
    wild.data[2 * 96 + 5] = 1e4;
    wild.data[6 * 96 + 95] = -1e4;
    const actual = await product(wild, weight);
    expectWithin(actual, wild, weight);
    for (const row of [0, 1, 3, 4, 5, 7]) {
      expect(actual.subarray(row * 24, (row + 1) * 24)).toEqual(calm.subarray(row * 24, (row + 1) * 24));
    }
  });

  it('give a row the same bits for any number of rows', async () => {
    const [x, weight] = [randomTensor([130, 60], 7), randomTensor([45, 60], 8)];
    const all = await product(x, weight);
    for (const rows of [1, 2, 3, 17, 64]) {
      const some = await product(float32([rows, 60], x.data.slice(0, rows * 60)), weight);
      expect(some).toEqual(all.subarray(0, rows * 45));
    }
  });

  it('of zeros are zero, and a bias is added unrounded', async () => {
    const bias = randomTensor([4], 9);
    const weight = randomTensor([4, 8], 10);
    weight.data.fill(0, 8, 16); // a column of zeros
    expect(await product(float32([1, 8], new Float32Array(8)), weight, bias)).toEqual(bias.data);
    const some = await product(randomTensor([1, 8], 11), weight, bias);
    expect(some[1]).toBe(bias.data[1]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('of rows with %d are not finite', async (value) => {
    const x = randomTensor([4, 32], 12);
    x.data[35] = value;
    const actual = await product(x, randomTensor([6, 32], 13));
    const finiteRows = [0, 1, 2, 3].map((row) =>
      actual.subarray(row * 6, row * 6 + 6).every(Number.isFinite),
    );
    expect(finiteRows).toEqual([true, false, true, true]);
  });

  it('refuse weights that are not finite', async () => {
    const weight = randomTensor([3, 5], 14);
    weight.data[7] = Number.NaN;
    await expect(product(randomTensor([1, 5], 15), weight)).rejects.toThrow("int8: 'weight' has a value");
  });
});

describe('a graph with products in 8 bits', () => {
  const x = input('x', ['rows', 8]);
  const [wide, narrow, exact] = [input('wide', [12, 8]), input('narrow', [8, 12]), input('exact', [8, 8])];
  const [first, second] = split(wide, 0, [4, 8]);
  const [toFirst, toSecond] = split(narrow, 1, [4, 8]);
  const inPieces = linearOnto(linear(gelu(linear(x, first)), toFirst), gelu(linear(x, second)), toSecond);
  const weights = {
    wide: randomTensor([12, 8], 1),
    narrow: randomTensor([8, 12], 2),
    exact: randomTensor([8, 8], 3),
  };
  const graph = graphOf({ y: linear(inPieces, exact) });
  const bound = quantizeProducts({ graph, weights }, { bits: detected, isExact: (name) => name === 'exact' });

  it('takes weights in pieces, and leaves exact what is to stay so', () => {
    const operators = topologicalOrder(Object.values(bound.graph.outputs)).map(({ operator }) => operator);
    expect(operators.filter((name) => name === 'MatMulIntegerToFloat')).toHaveLength(4);
    expect(operators.filter((name) => name === 'Gemm')).toHaveLength(1);
    expect(Object.keys(bound.weights).sort()).toEqual(
      [
        'exact',
        ...['narrow', 'wide'].flatMap((name) =>
          [0, 1].flatMap((i) => [`${name}.${i}.int8`, `${name}.${i}.scales`]),
        ),
      ].sort(),
    );
  });

  it('leaves products exact whose weights have outliers, but not those with zeros', () => {
    const withOutlier = randomTensor([12, 8], 1);
    withOutlier.data[13] = 1e4;
    const sparse = randomTensor([8, 12], 2);
    sparse.data.fill(0, 1, 12);
    const quantized = quantizeProducts(
      { graph, weights: { ...weights, wide: withOutlier, narrow: sparse } },
      options,
    );
    const floats = Object.entries(quantized.weights).filter(
      ([, { shape, dtype }]) => shape.length === 2 && dtype === 'float32',
    );
    expect(floats).toEqual([['wide', withOutlier]]);
  });

  it('rounds what several products multiply once', () => {
    const tokens = input('tokens', ['rows', 2, 8]);
    const both = graphOf({ wide: linear(tokens, wide), exact: linear(tokens, exact) });
    const { graph } = quantizeProducts({ graph: both, weights }, options);
    const operators = topologicalOrder(Object.values(graph.outputs)).map(({ operator }) => operator);
    expect(operators.filter((name) => name === 'QuantizeLinear')).toHaveLength(1);
    expect(operators.filter((name) => name === 'MatMulIntegerToFloat')).toHaveLength(2);
  });

  it('computes about the same', async () => {
    const feeds = { x: randomTensor([20, 8], 4) };
    const [precise, rounded] = [
      await device.compile(graph, weights),
      await device.compile(bound.graph, bound.weights),
    ];
    const [a, b] = [get(await precise.run(feeds), 'y').data, get(await rounded.run(feeds), 'y').data];
    const errors = Float64Array.from(a as Float32Array, (value, i) => Number(b[i]) - value);
    const rms = (values: ArrayLike<number>) =>
      Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));
    expect(rms(errors) / rms(a as Float32Array)).toBeLessThan(0.03);
    expect(rms(errors)).toBeGreaterThan(0);
  });
});
