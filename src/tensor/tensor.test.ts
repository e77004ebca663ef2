import { describe, expect, it } from 'vitest';
import { ShapeError } from '../errors.ts';
import {
  arrayFromBytes,
  bytesPerElement,
  elementCount,
  float32,
  tensor,
  tensorBytes,
  zeros,
} from './tensor.ts';

describe('a tensor', () => {
  it('has as many values as its shape', () => {
    expect([[], [3], [2, 3], [2, 0, 3]].map(elementCount)).toEqual([1, 3, 6, 0]);
    expect(tensor('int32', [2, 1], Int32Array.of(1, 2)).shape).toEqual([2, 1]);
    expect(() => tensor('int32', [2, 2], Int32Array.of(1, 2, 3))).toThrow(ShapeError);
    expect(() => tensor('int32', [], new Int32Array(0))).toThrow(ShapeError);
    expect(() => float32([2, 2], [1, 2, 3])).toThrow('shape [2,2] has 4 elements but the data has 3');
  });

  it('of float32 takes numbers, and keeps a Float32Array as it is', () => {
    expect(float32([2], [1.5, 2])).toEqual({ dtype: 'float32', shape: [2], data: Float32Array.of(1.5, 2) });
    const data = Float32Array.of(1, 2);
    expect(float32([2], data).data).toBe(data);
  });

  it('of zeros has the array of its type', () => {
    expect(zeros('float16', [2, 2])).toEqual({ dtype: 'float16', shape: [2, 2], data: new Uint16Array(4) });
    expect(zeros('int64', []).data).toEqual(BigInt64Array.of(0n));
    expect(bytesPerElement('bfloat16')).toBe(2);
  });
});

describe('bytes', () => {
  it('become elements without a copy where they are aligned, and with one where not', () => {
    const buffer = Uint8Array.of(0, 0, 0, 0, 0, 0, 128, 63, 0, 0).buffer;
    const aligned = arrayFromBytes('float32', new Uint8Array(buffer, 4, 4));
    expect(aligned).toEqual(Float32Array.of(1));
    expect(aligned.buffer).toBe(buffer);
    const copied = arrayFromBytes('float32', new Uint8Array(buffer, 6, 4));
    expect(copied).toEqual(Float32Array.of(2.2779507836064226e-41)); // 80 3f 00 00: 16256 x 2^-149
    expect(copied.buffer).not.toBe(buffer);
  });

  it('are refused where they end within an element', () => {
    expect(() => arrayFromBytes('int64', new Uint8Array(12))).toThrow(ShapeError);
    expect(arrayFromBytes('int32', new Uint8Array(12))).toHaveLength(3);
  });

  it('of a tensor are a view of its own values only', () => {
    const all = Float32Array.of(1, 2, 3, 4);
    const bytes = tensorBytes(float32([2], all.subarray(1, 3)));
    expect(bytes).toEqual(Uint8Array.of(0, 0, 0, 64, 0, 0, 64, 64));
    bytes.fill(0);
    expect(all).toEqual(Float32Array.of(1, 0, 0, 4));
  });
});
