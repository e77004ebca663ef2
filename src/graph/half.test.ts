import { afterAll, describe, expect, it } from 'vitest';
import { randomTensor } from '../../test/support/evaluate.ts';
import { get } from '../at.ts';
import { openCpu } from '../runtime/node.ts';
import { float16ToFloat32, float32ToFloat16, toFloat32 } from '../tensor/convert.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { fuseAttention } from './fuse-attention.ts';
import { halveProducts } from './half.ts';
import { graphOf } from './onnx.ts';
import { attention, concat, gelu, linear, rmsNorm, split } from './operators/index.ts';
import type { FloatGraph } from './quantize.ts';
import { input, inputName, topologicalOrder } from './symbolic.ts';

const device = openCpu();
afterAll(() => device.dispose());
const options = { isExact: () => false };

async function run(bound: ReturnType<typeof halveProducts>, feeds: Record<string, Tensor>) {
  const program = await device.compile(bound.graph, bound.weights);
  const results = await program.run(feeds);
  await program.dispose();
  return results;
}

function operators({ graph }: ReturnType<typeof halveProducts>): string[] {
  return topologicalOrder(Object.values(graph.outputs)).map(({ operator }) => operator);
}

const x = randomTensor([5, 32], 1);
const weights = {
  first: randomTensor([64, 32], 2),
  second: randomTensor([8, 64], 3),
  bias: randomTensor([64], 4),
};
const symbols = {
  x: input('x', ['rows', 32]),
  first: input('first', [64, 32]),
  second: input('second', [8, 64]),
  bias: input('bias', [64]),
};
const network: FloatGraph = {
  graph: graphOf({ y: linear(gelu(linear(symbols.x, symbols.first, symbols.bias)), symbols.second) }),
  weights,
};

describe('products in half precision', () => {
  it('are those with all weights but the exact ones', () => {
    const half = halveProducts(network, { isExact: (name) => name === 'second' });
    expect(half.weights.first).toBeUndefined();
    expect(half.weights['first.half']?.dtype).toBe('float16');
    expect(half.weights.second?.dtype).toBe('float32');
    // Inputs that are not weights have names too.
    const all = halveProducts(network, { isExact: (name) => !Object.hasOwn(weights, name) });
    expect(Object.keys(all.weights).filter((name) => name.endsWith('.half'))).toHaveLength(3);
  });

  it('round both factors, and nothing else', async () => {
    const rounded = ({ shape, data }: Tensor<'float32'>) =>
      float32(shape, float16ToFloat32(float32ToFloat16(data)));
    const graph = graphOf({ y: linear(symbols.x, symbols.first) });
    const half = halveProducts({ graph, weights: { first: weights.first } }, options);
    const { y } = await run(half, { x });
    const exact = await run({ graph, weights: { first: rounded(weights.first) } }, { x: rounded(x) });
    const size = Math.max(...(get(exact, 'y').data as Float32Array).map(Math.abs));
    for (const [i, value] of (get(exact, 'y').data as Float32Array).entries()) {
      // The result is a half float too.
      expect(Math.abs(value - Number(y!.data[i]))).toBeLessThan(size * 2 ** -11);
    }
  });

  it('pass half floats on between two products', () => {
    expect(operators(halveProducts(network, options)).filter((name) => name !== 'Reshape')).toEqual([
      'Cast',
      'Gemm',
      'Gelu',
      'Gemm',
      'Cast',
    ]);
  });

  it('keep weights in half floats, whole or in pieces, and those of exact products as they are', async () => {
    const { weights: bound } = halveProducts(network, { isExact: (name) => name === 'second' });
    expect(Object.entries(bound).map(([name, { dtype }]) => [name, dtype])).toEqual([
      ['first.half', 'float16'],
      ['second', 'float32'],
      ['bias.half', 'float16'],
    ]);
    const pieces = split(symbols.first, 0, [24, 40]).map((piece) => linear(symbols.x, piece));
    const half = halveProducts(
      { graph: graphOf({ y: concat(pieces, 1) }), weights: { first: weights.first } },
      options,
    );
    expect(half.graph.inputs.map(inputName).sort()).toEqual(['first.half', 'x']);
    const whole = {
      graph: graphOf({ y: linear(symbols.x, symbols.first) }),
      weights: { first: weights.first },
    };
    expect((await run(half, { x })).y).toEqual((await run(halveProducts(whole, options), { x })).y);
  });

  it('leave norms in float32: values whose squares overflow half floats come out right', async () => {
    const graph = graphOf({ y: linear(rmsNorm(symbols.x, 1e-6), symbols.first) });
    const large = float32(
      x.shape,
      x.data.map((value) => 1e4 * value),
    );
    const [exact, half] = await Promise.all([
      run({ graph, weights: { first: weights.first } }, { x: large }),
      run(halveProducts({ graph, weights: { first: weights.first } }, options), { x: large }),
    ]);
    for (const [i, value] of (get(exact, 'y').data as Float32Array).entries()) {
      expect(Math.abs(value - Number(get(half, 'y').data[i]))).toBeLessThan(0.05);
    }
  });

  it('take and give what is kept as half floats', async () => {
    const [q, kept, own] = [
      input('q', [1, 2, 3, 8]),
      input('cached', [1, 2, 'past', 8]),
      input('own', [1, 2, 3, 8]),
    ];
    const keys = concat([kept, own], 2);
    const exact: FloatGraph = { graph: graphOf({ y: attention(q, keys, keys), keys }), weights: {} };
    const half = halveProducts(exact, { ...options, isHalf: (name) => name === 'cached' || name === 'keys' });
    const cached = randomTensor([1, 2, 5, 8], 5);
    const feeds = { q: randomTensor([1, 2, 3, 8], 6), own: randomTensor([1, 2, 3, 8], 7) };
    const wanted = await run(exact, { ...feeds, cached });
    const bits = { dtype: 'float16', shape: cached.shape, data: float32ToFloat16(cached.data) } as const;
    const got = await run(half, { ...feeds, cached: bits });
    expect(got.keys?.dtype).toBe('float16');
    for (const name of ['y', 'keys']) {
      const values = toFloat32(get(got, name)).data;
      for (const [i, value] of (get(wanted, name).data as Float32Array).entries()) {
        expect(Math.abs(value - values[i]!)).toBeLessThan(0.01);
      }
    }
  });

  it('refuse weights that half floats do not hold', () => {
    const first = float32([64, 32], new Float32Array(64 * 32).fill(7e4));
    expect(() => halveProducts({ ...network, weights: { ...weights, first } }, options)).toThrow(
      /weight first has values .* beyond 65504.*; use fp32/,
    );
  });
});

describe('fused attention', () => {
  it.each([1, 3])('gives what its parts give, of %i samples', async (samples) => {
    const [q, k, v] = [
      input('q', ['n', 2, 5, 8]),
      input('k', ['n', 2, 'keys', 8]),
      input('v', ['n', 2, 'keys', 8]),
    ];
    const graph = graphOf({ y: attention(q, k, v) });
    const fused = { graph: fuseAttention(graph), weights: {} };
    expect(operators(fused)).toContain('MultiHeadAttention');
    expect(operators(fused)).not.toContain('Softmax');
    const feeds = {
      q: randomTensor([samples, 2, 5, 8], 1),
      k: randomTensor([samples, 2, 7, 8], 2),
      v: randomTensor([samples, 2, 7, 8], 3),
    };
    const [wanted, got] = [await run({ graph, weights: {} }, feeds), await run(fused, feeds)];
    expect(get(got, 'y').shape).toEqual([samples, 2, 5, 8]);
    for (const [i, value] of (get(wanted, 'y').data as Float32Array).entries()) {
      expect(Math.abs(value - Number(get(got, 'y').data[i]))).toBeLessThan(1e-5);
    }
  });
});
