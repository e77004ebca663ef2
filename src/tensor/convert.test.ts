import { describe, expect, it } from 'vitest';
import { toFloat32, toFloatType } from './convert.ts';
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
});
