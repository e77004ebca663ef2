import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../errors.ts';
import { joinArrays, joinAxis, sliceAxis } from './axes.ts';
import { elementCount, float32, type Tensor } from './tensor.ts';

/** Elements counted up from 0. */
const counted = (...shape: number[]): Tensor<'float32'> =>
  float32(
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => i),
  );

describe('along an axis', () => {
  it('cuts', () => {
    expect(sliceAxis(counted(2, 3, 2), 1, 1, 3)).toEqual(float32([2, 2, 2], [2, 3, 4, 5, 8, 9, 10, 11]));
    expect(sliceAxis(counted(3, 2), 0, 1, 2)).toEqual(float32([1, 2], [2, 3]));
    expect(sliceAxis(counted(2, 3), 1, 2, 2)).toEqual(float32([2, 0], []));
  });

  it('joins', () => {
    const joined = joinAxis([counted(2, 1, 2), counted(2, 2, 2)], 1);
    expect(joined).toEqual(float32([2, 3, 2], [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7]));
    expect(joinAxis([counted(1, 2), counted(1, 2)], 0)).toEqual(float32([2, 2], [0, 1, 0, 1]));
  });

  it('joins what it cut', () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(shapes, fc.nat(), fc.nat(), (shape, anyAxis, anyPlace) => {
        const axis = anyAxis % shape.length;
        const place = anyPlace % (shape[axis] + 1);
        const whole = counted(...shape);
        const parts = [sliceAxis(whole, axis, 0, place), sliceAxis(whole, axis, place, shape[axis])];
        expect(joinAxis(parts, axis)).toEqual(whole);
      }),
    );
  });

  it('refuses what does not fit', () => {
    expect(() => sliceAxis(counted(2, 3), 1, 1, 4)).toThrow(ShapeError);
    expect(() => sliceAxis(counted(2, 3), 1, 2, 1)).toThrow(ShapeError);
    expect(() => sliceAxis(counted(2, 3), 0, -1, 1)).toThrow('-1 to 1 is outside axis 0 of [2,3]');
    expect(() => joinAxis([counted(2, 3), counted(3, 3)], 1)).toThrow(
      '[2,3] and [3,3] differ in another axis than 1',
    );
  });
});

describe('joinArrays', () => {
  it('puts arrays one after the other, into an array of their type', () => {
    expect(joinArrays('uint8', [Uint8Array.of(1, 2), Uint8Array.of(3)])).toEqual(Uint8Array.of(1, 2, 3));
    const alone = Float32Array.of(1.5);
    const joined = joinArrays('float32', [alone]);
    expect(joined).toEqual(alone);
    expect(joined).not.toBe(alone);
    expect(joinArrays('uint8', [])).toEqual(new Uint8Array(0));
  });
});
