import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../../test/support/tiny-config.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { axisBase, ropeTables, signedTables } from './rope.ts';

/** Frequencies of the official code for 12 and 8 pairs of dimensions and base 100: from 1 to 1/base, both included. */
const TWELVE = [
  1, 0.65793, 0.43288, 0.2848, 0.18738, 0.12328, 0.08111, 0.05337, 0.03511, 0.0231, 0.0152, 0.01,
];
const EIGHT = [1, 0.51795, 0.26827, 0.13895, 0.07197, 0.03728, 0.01931, 0.01];

/** The angles of one token. */
function anglesOf({ cos, sin }: { cos: Tensor<'float32'>; sin: Tensor<'float32'> }, token: number): number[] {
  const [, size = 0] = cos.shape;
  const row = (table: Tensor<'float32'>) => [...table.data.slice(token * size, (token + 1) * size)];
  const cosines = row(cos);
  return row(sin).map((sine, j) => Math.atan2(sine, cosines[j] ?? Number.NaN));
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 4);
}

describe('the base of an axis', () => {
  it('is 100 up to 39 positions, and 100 more for each further 39.27', () => {
    expect([1, 4, 16, 32, 39].map(axisBase)).toEqual([100, 100, 100, 100, 100]);
    expect([40, 64, 78, 79, 128].map(axisBase)).toEqual([200, 200, 200, 300, 400]);
  });
});

describe('RoPE tables', () => {
  it('turn the first dimensions by the frame, the next by the row and the last by the column', () => {
    // Heads of 64 dimensions in shares of 16, 24 and 24, as in the official models of videos; 4 x 2 x 3 tokens.
    const video = { frames: 4, height: 4, width: 6, positionSplit: [2, 3, 3], squareBlocks: false };
    const tables = ropeTables(tinyConfig({ ...video, hidden: 128, heads: 2, blocks: 4, blockSize: 6 }));
    expect(tables.cos.shape).toEqual([24, 64]);
    expect(tables.sin.shape).toEqual([24, 64]);
    for (let token = 0; token < 24; token++) {
      const [frame, row, column] = [Math.floor(token / 6), Math.floor(token / 3) % 2, token % 3];
      const angles = [
        ...[...EIGHT, ...EIGHT].map((frequency) => frame * frequency),
        ...[...TWELVE, ...TWELVE].map((frequency) => row * frequency),
        ...[...TWELVE, ...TWELVE].map((frequency) => column * frequency),
      ];
      expectClose(anglesOf(tables, token), angles);
    }
  });

  it('follow the order of tokens in square blocks', () => {
    // 4 x 4 tokens in blocks of 2 x 2; shares of 4 dimensions, so frequencies 1 and 1/100.
    const tables = ropeTables(tinyConfig({ hidden: 24, heads: 3 }));
    const places = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
    for (const [token, place] of places.entries()) {
      const [row, column] = [Math.floor(place / 4), place % 4];
      const angles = [row, row / 100, row, row / 100, column, column / 100, column, column / 100];
      expectClose(anglesOf(tables, token), angles);
    }
  });

  it('have the frequency 1 where an axis has a single pair of dimensions', () => {
    const tables = ropeTables(tinyConfig({ hidden: 4, heads: 1, height: 4, width: 4, blocks: 1 }));
    expectClose(anglesOf(tables, 3), [1, 1, 1, 1]);
  });

  it('have larger bases for longer axes', () => {
    // 2 x 40 tokens: base 100 for the rows, 200 for the columns.
    const wide = tinyConfig({ hidden: 8, heads: 1, height: 4, width: 80, blocks: 20 });
    expectClose(
      anglesOf(ropeTables(wide), 79),
      [1, 1 / 100, 1, 1 / 100, 39, 39 / 200, 39, 39 / 200].map(principal),
    );
  });
});

/** The same angle from -π to π. */
function principal(angle: number): number {
  return Math.atan2(Math.sin(angle), Math.cos(angle));
}

describe('signed tables', () => {
  it('negate the sines of the first half of each token', () => {
    const cos = float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);
    const signed = signedTables({ cos, sin: float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]) });
    expect(signed.cos).toBe(cos);
    expect(signed.sin).toEqual(float32([2, 4], [-1, -2, 3, 4, -5, -6, 7, 8]));
  });

  it('turn all dimensions by the place in the sequence, or none', () => {
    // 4 x 4 tokens in 4 square blocks; heads of 16 dimensions: 8 pairs with base 100.
    const layout = { height: 8, width: 8, patch: 2, hidden: 32, heads: 2, blocks: 4, blockSize: 4 };
    const line = ropeTables(tinyConfig({ ...layout, positions: '1d' }));
    for (let token = 0; token < 16; token++) {
      const angles = [...EIGHT, ...EIGHT].map((frequency) => token * frequency);
      expectClose(
        anglesOf(line, token).map((angle) => Math.cos(angle)),
        angles.map((angle) => Math.cos(angle)),
      );
    }
    const none = ropeTables(tinyConfig({ ...layout, positions: 'none' }));
    expect(none.cos.data.every((value) => value === 1)).toBe(true);
    expect(none.sin.data.every((value) => value === 0)).toBe(true);
  });
});
