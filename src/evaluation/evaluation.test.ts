import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { ArgumentError, ShapeError } from '../errors.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import {
  choleskyFactor,
  frechetDistance,
  nuclearNormByPolar,
  nuclearNormBySingularValues,
  productOfFactors,
  traceByEigenvalues,
} from './frechet.ts';
import { type Gaussian, gaussianOf } from './gaussian.ts';
import { kernelDistance } from './kernel-distance.ts';
import { inceptionScore } from './logit-scores.ts';
import { compareManifolds } from './manifolds.ts';
import type { Features } from './products.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const doubles = (rows: number, dims: number, data: ArrayLike<number>): Features =>
  tensor('float64', [rows, dims], Float64Array.from(data));

function randomRows(rows: number, dims: number, seed: number, offset = 0): Features {
  return doubles(
    rows,
    dims,
    Float64Array.from(new Generator(seed).randn(rows * dims), (value) => value + offset),
  );
}

/** Rows in another order. */
function shuffled({ shape: [n, dims], data }: Features, seed: number): Features {
  const order = [...new Generator(seed).randperm(n)];
  return doubles(
    n,
    dims,
    order.flatMap((row) => [...data.subarray(row * dims, (row + 1) * dims)]),
  );
}

/** Rows turned by a rotation of two dimensions after the other. */
function rotated({ shape: [n, dims], data }: Features, angle: number): Features {
  const out = Float64Array.from(data);
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  for (let row = 0; row < n; row++) {
    for (let d = 0; d + 1 < dims; d++) {
      const at = row * dims + d;
      const [x, y] = [out[at], out[at + 1]];
      out[at] = cosine * x - sine * y;
      out[at + 1] = sine * x + cosine * y;
    }
  }
  return doubles(n, dims, out);
}

async function allMetrics(reference: Features, samples: Features): Promise<number[]> {
  const { precision, recall, density, coverage } = await compareManifolds(device, reference, samples);
  return [
    await frechetDistance(device, await gaussianOf(device, reference), await gaussianOf(device, samples)),
    (await kernelDistance(device, reference, samples, { subsets: 0 })).mean,
    precision,
    recall,
    density,
    coverage,
  ];
}

function expectClose(got: readonly number[], expected: readonly number[]): void {
  expect(got.length).toBe(expected.length);
  for (const [i, value] of got.entries()) expect(Math.abs(value - expected[i])).toBeLessThan(1e-9);
}

const seeds = fc.integer({ min: 0, max: 10_000 });

describe('metrics', () => {
  it('of two equal sets are 0 and 1', async () => {
    const set = randomRows(60, 5, 0, 3);
    const [frechet, kernel, precision, recall, , coverage] = await allMetrics(set, set);
    expect([frechet, kernel]).toEqual([0, 0]);
    expect([precision, recall, coverage]).toEqual([1, 1, 1]);
  });

  it.each([
    ['few samples of few dimensions', 5, 12],
    ['few samples of many dimensions', 20, 600],
    ['many samples of few dimensions', 700, 8],
  ])('of equal sets are 0 to the last digit in any order: %s', async (_, rows, dims) => {
    const set = randomRows(rows, dims, 3, 2);
    const reference = await gaussianOf(device, set);
    const samples = await gaussianOf(device, shuffled(set, 5));
    expect(await frechetDistance(device, reference, samples)).toBe(0);
    for (const subsets of [0, 10]) {
      const distance = await kernelDistance(device, set, shuffled(set, 5), { subsets, subsetSize: 4 });
      expect(distance).toEqual({ mean: 0, deviation: 0 });
    }
    const other = doubles(
      rows,
      dims,
      set.data.map((value, i) => value + (i === 0 ? 0.1 : 0)),
    );
    expect(await frechetDistance(device, reference, await gaussianOf(device, other))).toBeGreaterThan(0);
    expect((await kernelDistance(device, set, other, { subsets: 0 })).mean).not.toBe(0);
  });

  it('of distant sets are far and nothing', async () => {
    const metrics = await allMetrics(randomRows(40, 4, 0), randomRows(50, 4, 1, 100));
    expect(metrics[0]).toBeGreaterThan(4 * 99 ** 2);
    expect(metrics.slice(2)).toEqual([0, 0, 0, 0]);
  });

  it('depend neither on the order of samples nor on a rotation', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, fc.double({ min: 0, max: 6, noNaN: true }), async (seed, angle) => {
        const [reference, samples] = [randomRows(30, 6, seed), randomRows(25, 6, seed + 1, 0.3)];
        const expected = await allMetrics(reference, samples);
        expectClose(await allMetrics(shuffled(reference, seed), shuffled(samples, seed)), expected);
        expectClose(await allMetrics(rotated(reference, angle), rotated(samples, angle)), expected);
      }),
      { numRuns: 6 },
    );
  });
});

describe('gaussianOf', () => {
  it('is mean and covariance with the divisor N - 1, over more rows than a tile has', async () => {
    const rows = 5000;
    const data = Float64Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? i / 2 : -3 * (i >> 1) + 7));
    const { mean, covariance } = await gaussianOf(device, doubles(rows, 2, data));
    const variance = (rows * (rows + 1)) / 12;
    expectClose([...mean], [(rows - 1) / 2, -1.5 * (rows - 1) + 7]);
    for (const [i, factor] of [1, -3, -3, 9].entries())
      expect(covariance[i] / (factor * variance)).toBeCloseTo(1, 12);
  });

  it('needs two samples, and stops when asked to', async () => {
    await expect(gaussianOf(device, randomRows(1, 3, 0))).rejects.toThrow(ArgumentError);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(gaussianOf(device, randomRows(9, 3, 0), { signal })).rejects.toThrow('enough');
  });
});

const diagonal = (values: readonly number[], mean: readonly number[]): Gaussian => {
  const covariance = new Float64Array(values.length ** 2);
  for (const [i, value] of values.entries()) covariance[i * (values.length + 1)] = value;
  return { mean: Float64Array.from(mean), covariance };
};

describe('frechetDistance', () => {
  it('of Gaussians with diagonal covariances is that of their means and deviations', async () => {
    const numbers = fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 4, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(numbers, numbers, numbers, async (a, b, mean) => {
        const squares = (values: readonly number[]) => values.map((value) => value * value);
        const expected = a.reduce((sum, value, i) => sum + (value - b[i]) ** 2 + mean[i] ** 2, 0);
        const distance = await frechetDistance(
          device,
          diagonal(squares(a), [0, 0, 0, 0]),
          diagonal(squares(b), mean),
        );
        expect(Math.abs(distance - expected)).toBeLessThan(1e-9 * (1 + expected));
      }),
    );
  });

  it('refuses other dimensions', async () => {
    const [a, b] = [diagonal([1], [0]), diagonal([1, 1], [0, 0])];
    await expect(frechetDistance(device, a, b)).rejects.toThrow(ShapeError);
  });
});

describe('the root of a product of covariances', () => {
  it.each([
    ['of full rank', 40, 40],
    ['of low rank', 5, 8],
    ['of zero', 5, 0],
  ])('%s is the same in all three ways', async (_, rows, scale) => {
    const dims = 12;
    const scaled = (seed: number) => randomRows(rows, dims, seed).data.map((v) => v * Math.sqrt(scale));
    const [a, b] = [0, 1].map((seed) => doubles(rows, dims, scaled(seed)));
    const [first, second] = [await gaussianOf(device, a), await gaussianOf(device, b)];
    const product = await productOfFactors(
      device,
      choleskyFactor(first.covariance, dims),
      choleskyFactor(second.covariance, dims),
    );
    const byEigenvalues = traceByEigenvalues(first.covariance, second.covariance, dims);
    for (const sum of [await nuclearNormByPolar(device, product), nuclearNormBySingularValues(product)]) {
      expect(Math.abs(sum - byEigenvalues)).toBeLessThan(1e-6 * (1 + byEigenvalues));
    }
  });

  it.each([
    [3, 7],
    [7, 3],
  ])('is found of products that are not square: %i x %i', async (rows, columns) => {
    const product = randomRows(rows, columns, 1) as Tensor<'float64'>;
    const expected = nuclearNormBySingularValues(product);
    expect(Math.abs((await nuclearNormByPolar(device, product)) - expected)).toBeLessThan(1e-9);
  });

  it('by polar decomposition takes singular values far apart', async () => {
    const values = Array.from({ length: 9 }, (_, i) => 10 ** -i);
    const product = tensor(
      'float64',
      [9, 9],
      Float64Array.from({ length: 81 }, (_, at) => (at % 10 === 0 ? values[at / 10] : 0)),
    );
    const expected = values.reduce((sum, value) => sum + value, 0);
    expect(Math.abs((await nuclearNormByPolar(device, product)) - expected)).toBeLessThan(1e-12);
  });

  it('has factors of singular matrices, as narrow as their rank', async () => {
    const { covariance } = await gaussianOf(device, randomRows(4, 6, 2));
    const { shape, data } = choleskyFactor(covariance, 6);
    expect(shape).toEqual([6, 3]);
    for (let i = 0; i < 6; i++) {
      for (let j = 0; j < 6; j++) {
        let product = 0;
        for (let k = 0; k < 3; k++) product += data[i * 3 + k] * data[j * 3 + k];
        expect(Math.abs(product - covariance[i * 6 + j])).toBeLessThan(1e-13);
      }
    }
  });
});

describe('inceptionScore', () => {
  it('is the number of classes where each sample is sure of another, 1 where all are alike', () => {
    const sure = [...Array(8)].flatMap((_, row) => [...Array(4)].map((_, c) => (c === row % 4 ? 900 : 0)));
    expect(inceptionScore(float32([8, 4], sure))).toBeCloseTo(4, 12);
    expect(inceptionScore(float32([8, 4], sure), 4)).toBeCloseTo(4, 12);
    expect(inceptionScore(float32([8, 4], sure), 1)).toBeCloseTo(1, 12);
    expect(inceptionScore(float32([8, 4], new Float32Array(32)))).toBeCloseTo(1, 12);
  });

  it('counts a short last chunk the same', () => {
    const logits = float32([3, 2], [900, 0, 0, 900, 900, 0]);
    expect(inceptionScore(logits, 2)).toBeCloseTo(1.5, 12);
  });

  it('refuses chunks of nothing', () => {
    expect(() => inceptionScore(float32([1, 1], [0]), 0)).toThrow(ArgumentError);
  });
});

describe('kernelDistance', () => {
  it('of subsets is that of all samples on average, and the same for the same seed', async () => {
    const [a, b] = [randomRows(300, 4, 0), randomRows(200, 4, 1, 0.5)];
    const all = await kernelDistance(device, a, b, { subsets: 0 });
    const options = { subsets: 60, subsetSize: 100, seed: 3 };
    const subsets = await kernelDistance(device, a, b, options);
    expect(Math.abs(subsets.mean - all.mean)).toBeLessThan((4 * subsets.deviation) / Math.sqrt(60));
    expect(await kernelDistance(device, a, b, options)).toEqual(subsets);
    expect((await kernelDistance(device, a, b, { ...options, seed: 4 })).mean).not.toBe(subsets.mean);
  });

  it('is what its definition says', async () => {
    const { mean } = await kernelDistance(device, doubles(2, 1, [1, 2]), doubles(2, 1, [0, 3]), {
      subsets: 0,
    });
    // Within: 3^3 and 1; across: 1, 4^3, 1, 7^3.
    expect(mean).toBeCloseTo(27 + 1 - (2 * (1 + 64 + 1 + 343)) / 4, 12);
  });

  it('needs two samples', async () => {
    await expect(kernelDistance(device, randomRows(1, 2, 0), randomRows(5, 2, 0))).rejects.toThrow(
      ArgumentError,
    );
  });
});

describe('compareManifolds', () => {
  it('counts by hand', async () => {
    const reference = doubles(4, 1, [0, 1, 2, 10]);
    const samples = doubles(3, 1, [0.5, 11.5, 100]);
    // Balls of the reference reach 1, 1, 1, 8; those of the samples 11, 11, 88.5.
    const options = { precisionNeighbour: 1, densityNeighbour: 1 };
    expect(await compareManifolds(device, reference, samples, options)).toEqual({
      precision: 2 / 3,
      recall: 1,
      density: 3 / 3,
      coverage: 3 / 4,
    });
  });

  it('knows equal points far from the origin', async () => {
    const same = doubles(8, 3, Array(24).fill(12345.678));
    const { precision, recall, density } = await compareManifolds(device, same, same);
    expect({ precision, recall, density }).toEqual({ precision: 1, recall: 1, density: 0 });
  });

  it('rounds distances to float16 where asked, so that more are neighbours', async () => {
    const reference = doubles(4, 1, [0, 16, 48, 96]);
    const samples = doubles(4, 1, [-16.005, 200, 300, 400]);
    const options = { precisionNeighbour: 1, densityNeighbour: 1 };
    expect((await compareManifolds(device, reference, samples, options)).precision).toBe(0);
    expect((await compareManifolds(device, reference, samples, { ...options, half: true })).precision).toBe(
      1 / 4,
    );
  });

  it('does without float16 where it overflows', async () => {
    const [reference, samples] = [randomRows(20, 3, 0, 400), randomRows(20, 3, 1, 400)];
    const half = await compareManifolds(device, reference, samples, { half: true });
    expect(half.precision).toBeGreaterThan(0.3);
  });

  it('needs more samples than the neighbour', async () => {
    await expect(compareManifolds(device, randomRows(5, 2, 0), randomRows(9, 2, 0))).rejects.toThrow(
      'neighbour 5 of 5',
    );
  });

  it('reports progress up to the end, and stops when asked to', async () => {
    const done: number[] = [];
    const [a, b] = [randomRows(30, 2, 0), randomRows(20, 2, 1)];
    await compareManifolds(device, a, b, { tileRows: 8, onProgress: (share) => done.push(share) });
    expect(done).toEqual([...done].sort((x, y) => x - y));
    expect(done.at(-1)).toBeCloseTo(1, 12);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(compareManifolds(device, a, b, { signal })).rejects.toThrow('enough');
  });
});
