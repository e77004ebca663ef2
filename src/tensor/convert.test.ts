import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bfloat16ToFloat32, float16ToFloat32, toFloat32, toFloatType } from './convert.ts';
import { float32, tensor } from './tensor.ts';

describe('toFloatType', () => {
  const halfway = float32([4], [1 + 2 ** -11, 1 + 3 * 2 ** -11, -(2 ** -8), 1e9]);

  it('rounds to the nearest, ties to even', () => {
    expect(toFloatType(halfway, 'float16').data).toEqual(Uint16Array.of(0x3c00, 0x3c02, 0x9c00, 0x7c00));
    const tie = float32([2], [1 + 2 ** -8, 1 + 3 * 2 ** -8]);
    expect(toFloatType(tie, 'bfloat16').data).toEqual(Uint16Array.of(0x3f80, 0x3f82));
  });

  it('gives any type as any float type, and the same object where nothing changes', () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const value = toFloatType(tensor('int16', [2], Int16Array.of(-3, 5)), dtype);
      expect(value).toMatchObject({ dtype, shape: [2] });
      expect([...toFloat32(value).data]).toEqual([-3, 5]);
      expect(toFloatType(value, dtype)).toBe(value);
    }
  });

  it('converts integers of 64 bits', () => {
    expect(toFloat32(tensor('int64', [2], BigInt64Array.of(-(2n ** 40n), 7n)))).toEqual(
      float32([2], [-(2 ** 40), 7]),
    );
  });
});

/** Bits and values of IEEE 754 half precision, from the examples of the standard. */
const halves: [string, number, number][] = [
  ['zero', 0x0000, 0],
  ['negative zero', 0x8000, -0],
  ['the smallest subnormal', 0x0001, 2 ** -24],
  ['the largest subnormal', 0x03ff, 1023 * 2 ** -24],
  ['a negative subnormal', 0x8200, -(2 ** -15)],
  ['the smallest normal', 0x0400, 2 ** -14],
  ['the value before one', 0x3bff, 1 - 2 ** -11],
  ['one', 0x3c00, 1],
  ['minus two', 0xc000, -2],
  ['the largest', 0x7bff, 65504],
  ['infinity', 0x7c00, Number.POSITIVE_INFINITY],
  ['minus infinity', 0xfc00, Number.NEGATIVE_INFINITY],
  ['not a number', 0x7e00, Number.NaN],
];

const toHalf = (value: number): number => toFloatType(float32([1], [value]), 'float16').data[0] as number;
const fromHalf = (bits: number): number => float16ToFloat32(Uint16Array.of(bits))[0] ?? 0;
const toBrain = (value: number): number => toFloatType(float32([1], [value]), 'bfloat16').data[0] as number;
const fromBrain = (bits: number): number => bfloat16ToFloat32(Uint16Array.of(bits))[0] ?? 0;

describe('float16', () => {
  it.each(halves)('represents %s', (_, bits, value) => {
    expect(fromHalf(bits)).toBe(value);
    expect(toHalf(value)).toBe(bits);
  });

  it('rounds what is too small to zero or to the smallest, and what is too large to infinity', () => {
    expect([2 ** -25, -(2 ** -25), 2 ** -25 + 2 ** -40].map(toHalf)).toEqual([0, 0x8000, 1]);
    expect([65519.99, 65520, -65520].map(toHalf)).toEqual([0x7bff, 0x7c00, 0xfc00]);
  });

  it('comes back from float32 as it was', () => {
    const numbers = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter(
      (bits) => (bits & 0x7fff) <= 0x7c00,
    );
    const floats = float32([numbers.length], float16ToFloat32(numbers));
    expect(toFloatType(floats, 'float16').data).toEqual(numbers);
  });

  it('is the nearest to any float32', () => {
    fc.assert(
      fc.property(fc.float({ min: Math.fround(-65504), max: 65504, noNaN: true }), (value) => {
        const bits = toHalf(value);
        const error = Math.abs(fromHalf(bits) - value);
        for (const neighbour of [bits - 1, bits + 1]) {
          const other = fromHalf(neighbour & 0xffff);
          if (Number.isFinite(other)) expect(Math.abs(other - value)).toBeGreaterThanOrEqual(error);
        }
      }),
    );
  });
});

describe('bfloat16', () => {
  it.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x3f80, 1],
    [0xc000, -2],
    [0x4049, 3.140625],
    [0x0001, 2 ** -133],
    [0x7f80, Number.POSITIVE_INFINITY],
    [0xff80, Number.NEGATIVE_INFINITY],
    [0x7fc0, Number.NaN],
  ])('%i represents %s', (bits, value) => {
    expect(fromBrain(bits)).toBe(value);
    expect(toBrain(value)).toBe(bits);
  });

  it('keeps a NaN one whose bits would round to infinity or to zero', () => {
    const bits = Uint32Array.of(0x7f800001, 0xffffffff);
    const floats = float32([2], new Float32Array(bits.buffer));
    expect(toFloat32(toFloatType(floats, 'bfloat16')).data).toEqual(Float32Array.of(Number.NaN, Number.NaN));
  });
});
