import { describe, expect, it } from 'vitest';
import { compiled, evaluate, gradientErrors, randomTensor } from '../../../test/support/evaluate.ts';
import { relativeError } from '../../../test/support/golden.ts';
import { openCpu } from '../../runtime/node.ts';
import { Generator } from '../../tensor/generator.ts';
import { elementCount, float32, type Tensor, tensor, zeros } from '../../tensor/tensor.ts';
import { backpropagate, gradientsOf } from '../gradient.ts';
import { apply, constant, input, type SymbolicTensor, scalar } from '../symbolic.ts';
import * as operators from './index.ts';

type Symbols = Record<string, SymbolicTensor>;
type Values = readonly number[] | { readonly shape: readonly number[]; readonly range: [number, number] };

interface Case {
  readonly inputs: Readonly<Record<string, Values>>;
  readonly build: (symbols: Symbols) => readonly SymbolicTensor[];
}

const { attention, averagePool, concat, convolution, expand, gatherRows, linear, maxPool } = operators;
const {
  reduceMean,
  reduceSum,
  reshape,
  rmsNorm,
  slice,
  split,
  sumOfSquares,
  sumTo,
  transpose,
  upsampleNearest,
} = operators;

const of = (inputs: Case['inputs'], build: Case['build']): Case => ({ inputs, build });

function unary(operator: (x: SymbolicTensor) => SymbolicTensor, range: [number, number] = [-2, 2]): Case[] {
  return [of({ x: { shape: [2, 3], range } }, ({ x }) => [operator(x)])];
}

function binary(
  operator: (a: SymbolicTensor, b: SymbolicTensor) => SymbolicTensor,
  range: [number, number] = [-2, 2],
): Case[] {
  const broadcasts: [number[], number[]][] = [
    [
      [2, 3],
      [2, 3],
    ],
    [[2, 2, 3], [3]],
    [
      [2, 1],
      [1, 3],
    ],
    [[4], [2, 3, 1]],
    [[], [2, 3]],
  ];
  const apart = broadcasts.map(([a, b]) =>
    of({ a: { shape: a, range }, b: { shape: b, range } }, (s) => [operator(s.a, s.b)]),
  );
  return [...apart, of({ x: { shape: [3], range } }, ({ x }) => [operator(x, x)])];
}

function product(
  operator: (a: SymbolicTensor, b: SymbolicTensor) => SymbolicTensor,
  ...shapes: [number[], number[]][]
): Case[] {
  return shapes.map(([a, b]) => of({ a, b }, (s) => [operator(s.a, s.b)]));
}

const indices = constant(tensor('int64', [5], BigInt64Array.of(2n, 0n, 2n, 2n, 1n)));
/** Every query keeps a key; the last key is seen by none. */
const mask = constant(
  float32(
    [3, 4],
    [1, 0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0].map((v) => (v ? 0 : Number.NEGATIVE_INFINITY)),
  ),
);
const heads = { q: [1, 2, 3, 2], k: [1, 2, 4, 2], v: [1, 2, 4, 3] };

const small = (shape: readonly number[]): Values => ({ shape, range: [-1 / 32, 1 / 32] });

/** Small values plus quarters in random order, so that a step changes no maximum. */
function apart(x: SymbolicTensor): SymbolicTensor {
  const shape = x.shape.map(Number);
  const order = Generator.seeded(3).randperm(elementCount(shape));
  return operators.add(
    x,
    constant(
      float32(
        shape,
        Array.from(order, (place) => place / 4),
      ),
    ),
  );
}

/** A case at least for every operator that the graph language has. */
const cases: Record<keyof typeof operators, Case[]> = {
  add: binary(operators.add),
  subtract: binary(operators.subtract),
  multiply: binary(operators.multiply),
  divide: binary(operators.divide, [0.75, 2]),
  negate: unary(operators.negate),
  scale: unary((x) => operators.scale(x, -1.5)),
  shift: unary((x) => operators.shift(x, 0.5)),
  square: unary(operators.square),
  squareRoot: unary(operators.squareRoot, [0.75, 2]),
  exponential: unary(operators.exponential),
  sine: unary(operators.sine),
  cosine: unary(operators.cosine),
  sigmoid: unary(operators.sigmoid),
  tanh: unary(operators.tanh),
  // Away from its bend, which finite differences would smooth.
  relu: [...unary(operators.relu, [0.75, 2]), ...unary(operators.relu, [-2, -0.75])],
  silu: unary(operators.silu),
  gelu: unary(operators.gelu),
  softmax: [of({ x: [2, 4] }, ({ x }) => [operators.softmax(x)])],
  logSoftmax: [of({ x: [2, 4] }, ({ x }) => [operators.logSoftmax(x)])],
  attention: [
    of(heads, ({ q, k, v }) => [attention(q, k, v)]),
    of(heads, ({ q, k, v }) => [attention(q, k, v, mask)]),
    of({ ...heads, bias: [3, 4] }, ({ q, k, v, bias }) => [attention(q, k, v, bias)]),
    of({ x: [3, 2] }, ({ x }) => [attention(x, x, x)]),
  ],
  constantZeros: [of({ x: [2, 3] }, ({ x }) => [operators.add(x, operators.constantZeros([4, 2, 3]))])],
  expand: [of({ x: [3, 1] }, ({ x }) => [expand(x, [2, 3, 4])]), of({ x: [] }, ({ x }) => [expand(x, [2])])],
  reduceSum: [
    of({ x: [2, 3, 2] }, ({ x }) => [reduceSum(x, [0, -1])]),
    of({ x: [2, 3, 2] }, ({ x }) => [reduceSum(x, [1], true)]),
    of({ x: [2, 3] }, ({ x }) => [reduceSum(x, [])]),
  ],
  sumOfSquares: [of({ x: [2, 3, 2] }, ({ x }) => [sumOfSquares(x)])],
  reduceMean: [
    of({ x: [2, 3, 2] }, ({ x }) => [reduceMean(x, [0, -1])]),
    of({ x: [2, 3, 2] }, ({ x }) => [reduceMean(x, [1], true)]),
  ],
  reshape: [of({ x: [2, 6] }, ({ x }) => [reshape(x, [3, 1, 4])])],
  sumTo: [[], [4], [1, 1, 4], [3, 1], [2, 3, 1], [2, 3, 4]].map((shape) =>
    of({ x: [2, 3, 4] }, ({ x }) => [sumTo(x, shape)]),
  ),
  concat: [
    of({ a: [2, 1], b: [2, 3] }, ({ a, b }) => [concat([a, b, a], 1)]),
    of({ a: [1, 2, 2], b: [1, 1, 2] }, ({ a, b }) => [concat([a, b], -2)]),
  ],
  slice: [
    of({ x: [2, 5] }, ({ x }) => [slice(x, 1, 1, 3)]),
    of({ x: [2, 5] }, ({ x }) => [slice(x, -1, 0, 2), slice(x, -1, 4, 5)]),
    of({ x: [3] }, ({ x }) => [slice(x, 0, 0, 3)]),
  ],
  split: [
    of({ x: [2, 6] }, ({ x }) => split(x, 1, [1, 2, 3])),
    of({ x: [2, 6] }, ({ x }) => [split(x, -1, [1, 2, 3])[1]]), // the others are read by none
    of({ x: [3, 2] }, ({ x }) => {
      const [first, , last] = split(x, 0, [1, 1, 1]);
      return [operators.multiply(first, last)];
    }),
  ],
  transpose: [of({ x: [2, 3, 4] }, ({ x }) => [transpose(x, [2, 0, 1])])],
  linear: [
    of({ x: [2, 3, 2], w: [4, 2], b: [4] }, ({ x, w, b }) => [linear(x, w, b)]),
    of({ x: [3, 2], w: [4, 2], b: [4] }, ({ x, w, b }) => [linear(x, w, b)]),
    of({ x: [2], w: [3, 2] }, ({ x, w }) => [linear(x, w)]),
  ],
  linearOnto: [
    of({ sum: [2, 3, 4], x: [2, 3, 2], w: [4, 2] }, ({ sum, x, w }) => [operators.linearOnto(sum, x, w)]),
    of({ x: [3, 2], w: [2, 2] }, ({ x, w }) => [operators.linearOnto(x, x, w)]),
  ],
  // biome-ignore-start format: pairs of shapes
  matmul: product(
    operators.matmul,
    [
      [3, 2],
      [2, 4],
    ],
    [
      [2, 1, 2, 3],
      [2, 3, 2],
    ],
    [
      [2, 2, 3],
      [3, 2],
    ],
  ),
  matmulTransposed: [
    ...product(
      operators.matmulTransposed,
      [
        [3, 2],
        [4, 2],
      ],
      [
        [2, 1, 2, 3],
        [2, 2, 3],
      ],
      [
        [2, 2, 3],
        [2, 3],
      ],
    ),
    ...product(
      (a, b) => operators.matmulTransposed(a, b, 0.25),
      [
        [3, 2],
        [4, 2],
      ],
    ),
  ],
  transposedMatmul: [
    ...product(
      operators.transposedMatmul,
      [
        [2, 3],
        [2, 4],
      ],
      [
        [2, 1, 3, 2],
        [2, 3, 2],
      ],
    ),
    ...product(
      (a, b) => operators.transposedMatmul(a, b, -2),
      [
        [2, 3],
        [2, 4],
      ],
    ),
  ],
  // biome-ignore-end format: pairs of shapes
  convolution: [
    of({ x: [2, 2, 3, 4], w: [3, 2, 3, 2], b: [3] }, ({ x, w, b }) => [convolution(x, w, b)]),
    of({ x: [1, 2, 3, 3], w: [2, 2, 3, 3] }, ({ x, w }) => [
      convolution(x, w, undefined, { padding: [1, 1, 1, 1] }),
    ]),
    of({ x: [1, 2, 5, 4], w: [2, 2, 3, 3] }, ({ x, w }) => [
      convolution(x, w, undefined, { stride: 2, padding: [0, 0, 1, 1] }),
    ]),
    of({ x: [2, 1, 7, 6], w: [2, 1, 2, 3], b: [2] }, ({ x, w, b }) => [
      convolution(x, w, b, { stride: 3, padding: [0, 1, 0, 0] }),
    ]),
    of({ x: [2, 2, 9], w: [3, 2, 4], b: [3] }, ({ x, w, b }) => [
      convolution(x, w, b, { stride: 2, padding: [3, 0] }),
    ]),
    of({ x: [1, 2, 4, 5, 3], w: [2, 2, 2, 3, 1], b: [2] }, ({ x, w, b }) => [
      convolution(x, w, b, { stride: [1, 2, 3], padding: [0, 1, 0, 1, 0, 0] }),
    ]),
  ],
  maxPool: [
    of({ x: small([2, 2, 7]) }, ({ x }) => [maxPool(apart(x), [3], { stride: 2, padding: [0, 1] })]),
    of({ x: small([2, 1, 4, 5]) }, ({ x }) => [maxPool(apart(x), [3, 2])]), // some are the largest of several windows
    of({ x: small([1, 2, 3, 4, 2]) }, ({ x }) => [
      maxPool(apart(x), [2, 3, 1], { stride: [1, 2, 1], padding: [0, 1, 0, 1, 0, 0] }),
    ]),
  ],
  averagePool: [false, true].flatMap((countPadding) => [
    of({ x: [2, 2, 7] }, ({ x }) => [averagePool(x, [3], { stride: 2, padding: [0, 1], countPadding })]),
    of({ x: [2, 2, 4, 5] }, ({ x }) => [averagePool(x, [3, 3], { padding: [1, 1, 1, 1], countPadding })]),
    of({ x: [1, 2, 3, 4, 2] }, ({ x }) => [
      averagePool(x, [2, 3, 1], { stride: [1, 2, 1], padding: [0, 1, 0, 1, 0, 0], countPadding }),
    ]),
    of({ x: [1, 1, 6, 3] }, ({ x }) => [averagePool(x, [2, 3], { stride: 4, countPadding })]),
  ]),
  upsampleNearest: [
    of({ x: [2, 1, 2, 3] }, ({ x }) => [upsampleNearest(x, 2, 2)]),
    of({ x: [1, 2, 2, 1] }, ({ x }) => [upsampleNearest(x, 1, 3)]),
  ],
  gatherRows: [of({ table: [4, 3] }, ({ table }) => [gatherRows(table, indices)])],
  rmsNorm: [
    of({ x: [2, 3, 4] }, ({ x }) => [rmsNorm(x, 1e-6)]),
    of({ x: [2, 3, 4], w: [4] }, ({ x, w }) => [rmsNorm(x, 0.5, w)]),
    of({ x: [4], w: [4] }, ({ x, w }) => [rmsNorm(x, 1e-6, w)]),
  ],
};

function feedsOf(inputs: Case['inputs']): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, values], i) => {
      const { shape, range } = 'shape' in values ? values : { shape: values, range: [-1, 1] };
      return [name, randomTensor(shape, 10 + i, range as [number, number])];
    }),
  );
}

describe('gradients against finite differences', () => {
  it('are checked for every operator', () => {
    expect(Object.keys(cases).sort()).toEqual(Object.keys(operators).sort());
  });

  const all = Object.entries(cases).flatMap(([name, list]) =>
    list.map((one, i) => ({ name: `${name} ${i}`, ...one })),
  );
  it.each(all)('$name', async ({ inputs, build }) => {
    const errors = await gradientErrors(feedsOf(inputs), build);
    expect(Object.keys(errors)).toEqual(Object.keys(inputs));
    for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(5e-4);
  });

  it('notices a wrong gradient', async () => {
    const wrong = ({ x }: Symbols): readonly SymbolicTensor[] =>
      apply({ operator: 'Neg', inputs: [x], outputs: [{ shape: x.shape }], gradient: ([g]) => [g] });
    const errors = await gradientErrors({ x: randomTensor([3], 1) }, wrong);
    expect(errors.x).toBeGreaterThan(1);
  });
});

describe('values', () => {
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const references: [(x: SymbolicTensor) => SymbolicTensor, (x: number) => number][] = [
    [operators.negate, (x) => -x],
    [operators.square, (x) => x * x],
    [operators.squareRoot, Math.sqrt],
    [operators.exponential, Math.exp],
    [operators.sine, Math.sin],
    [operators.cosine, Math.cos],
    [operators.tanh, Math.tanh],
    [operators.sigmoid, sigmoid],
    [operators.relu, (x) => Math.max(x, 0)],
    [operators.silu, (x) => x * sigmoid(x)],
    [operators.gelu, (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
  ];
  it.each(references)('of $name', async (operator, reference) => {
    const x = randomTensor([50], 3, operator === operators.squareRoot ? [0, 8] : [-8, 8]);
    const { y } = await evaluate({ y: operator(input('x', [50])) }, { x });
    expect(relativeError(y, float32([50], Array.from(x.data, reference)))).toBeLessThan(1e-6);
  });

  it('rmsNorm adds epsilon to the mean square', async () => {
    const y = rmsNorm(constant(float32([2], [3, 4])), 2.5, constant(float32([2], [1, 2])));
    const { data } = (await evaluate({ y })).y;
    expect(Array.from(data as Float32Array)).toEqual([3, 8].map((v) => expect.closeTo(v / Math.sqrt(15), 5)));
  });

  it('a masked key has no weight at all', async () => {
    const [q, k] = [input('q', [1, 3, 2]), input('k', [1, 4, 2])];
    const v = input('v', [1, 4, 1]);
    const run = await compiled({ y: attention(q, k, v, mask) });
    const feeds = { q: randomTensor([1, 3, 2], 1), k: randomTensor([1, 4, 2], 2) };
    const [first, second] = [1, 1e6].map((last) => run({ ...feeds, v: float32([1, 4, 1], [1, 2, 3, last]) }));
    expect((await first).y).toEqual((await second).y);
  });
});

describe('windows', () => {
  it('padding is never the largest, and counts for the mean only where asked for', async () => {
    const x = constant(float32([1, 1, 3], [-1, -5, -3]));
    const padding = [1, 1];
    const results = await evaluate({
      largest: maxPool(x, [2], { padding }),
      mean: averagePool(x, [2], { padding }),
      counted: averagePool(x, [2], { padding, countPadding: true }),
    });
    expect(results.largest.data).toEqual(Float32Array.of(-1, -1, -3, -3));
    expect(results.mean.data).toEqual(Float32Array.of(-1, -3, -4, -3));
    expect(results.counted.data).toEqual(Float32Array.of(-0.5, -3, -4, -1.5));
  });
});

describe('backpropagate', () => {
  const x = input('x', [2]);

  it('adds up what reaches a symbol along several ways, and gives zeros where nothing does', async () => {
    const y = operators.multiply(x, operators.add(x, x));
    const [dx, dz] = gradientsOf(reduceSum(y, [0]), [x, input('z', [3])]);
    const results = await evaluate({ dx, dz }, { x: float32([2], [1, -3]) });
    expect(results.dx.data).toEqual(Float32Array.of(4, -12));
    expect(results.dz).toEqual(float32([3], [0, 0, 0]));
  });

  it('refuses what is not a scalar, and seeds of another shape', () => {
    expect(() => gradientsOf(x, [x])).toThrow(/gradientsOf.*\[2\]/);
    expect(() => backpropagate([{ output: x, gradient: scalar(1) }], [x])).toThrow(/\[\].*\[2\]/);
  });

  it('an element that is the largest of many windows loses nothing when several threads add', async () => {
    const [size, x] = [100_000, input('x', [1, 1, 100_000])];
    const gradient = input('gradient', [1, 1, size - 999]);
    const [sum] = backpropagate([{ output: maxPool(x, [1000]), gradient }], [x]);
    const device = openCpu({ threads: 2 });
    const program = await device.compile({ inputs: [x, gradient], outputs: { sum } });
    const peaks = zeros('float32', [1, 1, size]);
    for (let i = 500; i < size; i += 1000) peaks.data[i] = 1;
    const ones = zeros('float32', [1, 1, size - 999]);
    ones.data.fill(1);
    for (let run = 0; run < 5; run++) {
      const sums = (await program.run({ x: peaks, gradient: ones })).sum.data as Float32Array;
      expect(sums.every((sum, i) => (peaks.data[i] === 1 ? sum >= 500 : sum === 0))).toBe(true);
      expect(sums.reduce((total, sum) => total + sum, 0)).toBe(size - 999);
    }
    await device.dispose();
  });

  it('a repeated index loses nothing when several threads add', async () => {
    const [rows, size, table] = [6000, 768, input('table', [11, 768])];
    const [index, gradient] = [input('index', [rows], 'int64'), input('gradient', [rows, size])];
    const [sum] = backpropagate([{ output: gatherRows(table, index), gradient }], [table]);
    const device = openCpu({ threads: 2 });
    const program = await device.compile({ inputs: [index, gradient], outputs: { sum } });
    const ones = zeros('float32', [rows, size]);
    ones.data.fill(1);
    const same = tensor('int64', [rows], new BigInt64Array(rows).fill(3n));
    for (let run = 0; run < 5; run++) {
      const results = await program.run({ index: same, gradient: ones });
      const row = results.sum.data.subarray(3 * size, 4 * size) as Float32Array;
      expect(row.every((value) => value === rows)).toBe(true);
    }
    await device.dispose();
  });
});
