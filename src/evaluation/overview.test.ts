import { afterAll, describe, expect, it } from 'vitest';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { nearestDistances, projectToPlane, someRows } from './overview.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const matrix = (rows: readonly (readonly number[])[]): Tensor<'float64'> =>
  tensor('float64', [rows.length, rows[0].length], Float64Array.from(rows.flat()));

describe('someRows', () => {
  it('spreads rows evenly, and takes all where there are few', () => {
    const rows = matrix([[0], [1], [2], [3], [4], [5]]);
    expect([...someRows(rows, 3).data]).toEqual([0, 2, 4]);
    expect([...someRows(rows, 9).data]).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe('nearestDistances', () => {
  it('is that to the nearest reference point, and for those to the nearest other', async () => {
    const reference = matrix([
      [0, 0],
      [3, 4],
      [3, 5],
    ]);
    const samples = matrix([
      [0, 1],
      [3, 4],
    ]);
    const { samples: ofSamples, reference: ofReference } = await nearestDistances(device, reference, samples);
    expect([...ofSamples]).toEqual([1, 0]);
    expect([...ofReference]).toEqual([5, 1, 1]);
  });

  it('goes tile by tile to the same', async () => {
    const random = (n: number, seed: number): Tensor<'float64'> =>
      tensor('float64', [n, 5], Float64Array.from(Generator.seeded(seed).randn(n * 5)));
    const [reference, samples] = [random(2100, 1), random(7, 2)];
    const { samples: found, reference: others } = await nearestDistances(device, reference, samples);
    const distance = (a: Tensor<'float64'>, i: number, j: number): number =>
      Math.hypot(...Array.from({ length: 5 }, (_, d) => a.data[i * 5 + d] - reference.data[j * 5 + d]));
    const all = Array.from({ length: 2100 }, (_, j) => j);
    for (let i = 0; i < 7; i++) {
      expect(found[i]).toBeCloseTo(Math.min(...all.map((j) => distance(samples, i, j))), 8);
    }
    const last = Math.min(...all.slice(0, -1).map((j) => distance(reference, 2099, j)));
    expect(others[2099]).toBeCloseTo(last, 8);
  });
});

describe('projectToPlane', () => {
  it('finds the axes of a cloud under any rotation', () => {
    // Standard deviations 9, 4 and 1 along axes that are turned by 30 degrees in the first two dimensions.
    const draws = Generator.seeded(3).randn(3 * 4000);
    const [cos, sin] = [Math.cos(Math.PI / 6), Math.sin(Math.PI / 6)];
    const cloud = Array.from({ length: 4000 }, (_, i) => {
      const [a, b, c] = [9 * draws[3 * i], 4 * draws[3 * i + 1], draws[3 * i + 2]];
      return [100 + cos * a - sin * b, sin * a + cos * b, c];
    });
    const { reference, samples, shares } = projectToPlane(
      matrix(cloud.slice(0, 3000)),
      matrix(cloud.slice(3000)),
    );
    expect([reference.length, samples.length]).toEqual([6000, 2000]);
    expect(shares[0]).toBeCloseTo(81 / 98, 1);
    expect(shares[1]).toBeCloseTo(16 / 98, 1);
    // Both axes with their larger coordinate positive: (cos, sin) and (-sin, cos).
    const [x, y] = [9 * draws[0], 4 * draws[1]];
    expect(reference[0]).toBeCloseTo(x, -0.5);
    expect(reference[1]).toBeCloseTo(y, -0.5);
  });

  it('puts equal points into one place', () => {
    const { reference, shares } = projectToPlane(matrix([[1, 2]]), matrix([[1, 2]]));
    expect([...reference]).toEqual([0, 0]);
    expect(shares).toEqual([0, 0]);
  });
});
