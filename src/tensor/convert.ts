/** @file Conversion between element types, with float16 and bfloat16 as bits in a Uint16Array. */

import { newArray, type Tensor, tensor } from './tensor.ts';

const floatView = new Float32Array(1);
const bitsView = new Uint32Array(floatView.buffer);

/** All 65,536 half floats as float32, made on first use. */
let halfTable: Float32Array | undefined;

function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** float16 bits to float32. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  if (!halfTable) halfTable = Float32Array.from({ length: 65536 }, (_, half) => halfToFloat(half));
  const table = halfTable;
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!;
  return out;
}

/** bfloat16 bits to float32. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return new Float32Array(out.buffer);
}

/** Round one float32 to the nearest float16 (ties to even) and return its bits. */
function floatToHalf(value: number): number {
  floatView[0] = value;
  const bits = bitsView[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds beyond 65504
  if (magnitude < 0x38800000) {
    // Subnormal halves are multiples of 2^-24; adding 0.5 leaves exactly that many bits, rounded to even.
    floatView[0] = Math.abs(value) + 0.5;
    return sign | (bitsView[0]! - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** float32 to float16 bits, nearest, ties to even. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = floatToHalf(values[i]!);
  return out;
}

/** float32 to bfloat16 bits, nearest, ties to even. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = bits[i]!;
    const notANumber = (value & 0x7fffffff) > 0x7f800000;
    out[i] = notANumber ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** Any tensor as float32; the same object if it is one already. 64-bit integers lose precision beyond 2^24. */
export function toFloat32(value: Tensor): Tensor<'float32'> {
  const { dtype, shape, data } = value;
  if (dtype === 'float32') return value as Tensor<'float32'>;
  if (dtype === 'float16') return tensor('float32', shape, float16ToFloat32(data as Uint16Array));
  if (dtype === 'bfloat16') return tensor('float32', shape, bfloat16ToFloat32(data as Uint16Array));
  const out = newArray('float32', data.length);
  for (let i = 0; i < data.length; i++) out[i] = Number(data[i]);
  return tensor('float32', shape, out);
}

/** Element types that weights are stored in. */
export type FloatType = 'float32' | 'float16' | 'bfloat16';

/** A tensor in another element type, rounded to the nearest, ties to even; the same object if it has it already. */
export function toFloatType(value: Tensor, dtype: FloatType): Tensor {
  if (value.dtype === dtype) return value;
  const { shape, data } = toFloat32(value);
  if (dtype === 'float16') return tensor(dtype, shape, float32ToFloat16(data));
  if (dtype === 'bfloat16') return tensor(dtype, shape, float32ToBfloat16(data));
  return { dtype, shape, data };
}
