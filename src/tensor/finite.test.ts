import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { requireFinite } from './finite.ts';
import { float32, zeros } from './tensor.ts';

describe('requireFinite', () => {
  it('accepts finite values, and no values', () => {
    expect(() => requireFinite(float32([2], [-3e38, 3e38]), 'noise')).not.toThrow();
    expect(() => requireFinite(zeros('float32', [0, 3]), 'noise')).not.toThrow();
  });

  it.each([
    [0, [0, 0, 0]],
    [1, [0, 0, 1]],
    [5, [0, 1, 1]],
    [16, [1, 1, 0]],
    [23, [1, 2, 3]],
  ])('names the place of value %i in a tensor of 2 x 3 x 4', (at, place) => {
    const value = zeros('float32', [2, 3, 4]);
    value.data[at] = Number.NaN;
    value.data[23] = Number.NEGATIVE_INFINITY;
    const shown = at === 23 ? '-Infinity' : 'NaN';
    expect(() => requireFinite(value, 'noise')).toThrow(ArgumentError);
    expect(() => requireFinite(value, 'noise')).toThrow(`noise must be finite, got ${shown} at [${place}]`);
  });

  it('names the place in a scalar as []', () => {
    expect(() => requireFinite(float32([], [Number.NaN]), 'scale')).toThrow('got NaN at []');
  });
});
