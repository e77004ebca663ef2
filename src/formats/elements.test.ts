import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../errors.ts';
import { elementCount, tensor } from '../tensor/tensor.ts';
import {
  checkedElementCount,
  gatherStrided,
  isContiguous,
  lastIndex,
  rowMajorStrides,
  tensorFromBytes,
} from './elements.ts';

describe('the shape of a file', () => {
  it('may have up to 64 dimensions, and zeros', () => {
    expect(checkedElementCount([], 'a')).toBe(1);
    expect(checkedElementCount([2, 3, 4], 'a')).toBe(24);
    expect(checkedElementCount([2, 0, 4], 'a')).toBe(0);
    expect(checkedElementCount(Array(64).fill(1), 'a')).toBe(1);
    expect(() => checkedElementCount(Array(65).fill(1), 'a')).toThrow(FormatError);
  });

  it('takes bytes that can be counted', () => {
    // Fewer than 2^53 bytes, with 8 per element.
    expect(checkedElementCount([2 ** 50 - 1], 'a')).toBe(2 ** 50 - 1);
    expect(() => checkedElementCount([2 ** 49, 2], 'a')).toThrow(FormatError);
  });

  it.each([[-1], [1.5], ['3'], [null], [Number.NaN], [2 ** 53], [3n]])(
    'may not have a dimension of %s',
    (dim) => {
      expect(() => checkedElementCount([2, dim], 'a')).toThrow(FormatError);
      expect(() => checkedElementCount([2, dim], 'a')).toThrow(/^a: .* is not a valid dimension/);
    },
  );

  it('is quoted up to its eighth dimension', () => {
    const shape = Array(9).fill(1e9);
    expect(() => checkedElementCount(shape.slice(1), 'a')).toThrow(
      `a: shape [${shape.slice(1)}] is implausibly`,
    );
    expect(() => checkedElementCount(shape, 'a')).toThrow(`a: shape [${shape.slice(1)}, ...] is implausibly`);
  });
});

describe('a tensor of bytes', () => {
  it('is a view of them, in which any non-zero bool is 1', () => {
    const bytes = Uint8Array.of(0, 7, 1, 255);
    expect(tensorFromBytes('uint8', [4], bytes)).toEqual(tensor('uint8', [4], Uint8Array.of(0, 7, 1, 255)));
    expect(tensorFromBytes('uint8', [4], bytes).data.buffer).toBe(bytes.buffer);
    expect(tensorFromBytes('bool', [2, 2], bytes)).toEqual(tensor('bool', [2, 2], Uint8Array.of(0, 1, 1, 1)));
  });
});

describe('strides', () => {
  it('of a row-major array are the elements that follow along each axis', () => {
    expect(rowMajorStrides([])).toEqual([]);
    expect(rowMajorStrides([2, 3, 4])).toEqual([12, 4, 1]);
  });

  it('are contiguous if they walk the elements in order; those of axes of size 0 or 1 do not count', () => {
    expect(isContiguous([2, 3], [3, 1])).toBe(true);
    expect(isContiguous([2, 3], [1, 2])).toBe(false);
    expect(isContiguous([2, 3], [3, 2])).toBe(false);
    expect(isContiguous([2, 1, 3], [3, 99, 1])).toBe(true);
    expect(isContiguous([2, 0], [7, 7])).toBe(true);
    expect(isContiguous([], [])).toBe(true);
  });

  it('say where the last element is', () => {
    expect(lastIndex([2, 3], [3, 1])).toBe(5);
    expect(lastIndex([2, 3], [1, 2])).toBe(5);
    expect(lastIndex([4, 2], [0, 10])).toBe(10);
    expect(lastIndex([], [])).toBe(0);
  });

  it('of any kind are gathered into rows', () => {
    const axes = fc.array(fc.tuple(fc.nat(3), fc.nat(5)), { maxLength: 4 });
    fc.assert(
      fc.property(axes, (pairs) => {
        const [shape, strides] = [pairs.map(([dim]) => dim), pairs.map(([, stride]) => stride)];
        const source = Int32Array.from({ length: 64 }, (_, i) => i);
        const expected: number[] = [];
        const walk = (axis: number, position: number): void => {
          const [dim, stride] = pairs[axis] ?? [];
          if (dim === undefined || stride === undefined) expected.push(position);
          else for (let i = 0; i < dim; i++) walk(axis + 1, position + i * stride);
        };
        walk(0, 0);
        const gathered = gatherStrided('int32', shape, strides, source, 'a');
        expect(gathered).toEqual(tensor('int32', shape, Int32Array.from(expected)));
        if (elementCount(shape) > 0) expect(lastIndex(shape, strides)).toBe(expected.at(-1));
      }),
    );
  });
});
