import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { float32, tensor } from '../tensor/tensor.ts';
import { check } from './check.ts';

describe('check', () => {
  it('takes the largest error over the largest golden value', () => {
    const result = check('x', [1, -4.5, 0], float32([3], [1, -4, 0.25]), 0.2);
    expect(result).toEqual({ name: 'x', error: 0.125, tolerance: 0.2, passed: true });
    expect(check('x', [1, -4.5, 0], float32([3], [1, -4, 0.25]), 0.1).passed).toBe(false);
  });

  it('does not depend on the scale', () => {
    fc.assert(
      fc.property(fc.float({ min: 1, max: 1000, noNaN: true }), (scale) => {
        const { error } = check('x', [3 * scale], float32([1], [2 * scale]), 1);
        expect(error).toBeCloseTo(0.5, 5);
      }),
    );
  });

  it('compares integers and zeros', () => {
    expect(check('x', [1, 2], tensor('int64', [2], BigInt64Array.of(1n, 2n)), 0)).toMatchObject({
      passed: true,
    });
    expect(check('x', [0.5], float32([1], [0]), 0.1)).toMatchObject({ error: 0.5, passed: false });
  });

  it('fails NaN and other sizes', () => {
    expect(check('x', [Number.NaN], float32([1], [1]), 1).passed).toBe(false);
    expect(check('x', [1], float32([1], [Number.NaN]), 1).passed).toBe(false);
    const result = check('x', [1], float32([2], [1, 1]), 1);
    expect(result).toMatchObject({ passed: false, problem: 'has 1 values, golden shape [2] has 2' });
  });
});
