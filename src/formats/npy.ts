/** @file NumPy's `.npy` format, versions 1 to 3 (numpy.lib.format). */

import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { joinArrays } from '../tensor/axes.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { bytesPerElement, type DType, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import { checkedElementCount, gatherStrided, rowMajorStrides, tensorFromBytes } from './elements.ts';

/** NumPy's kind and size of each dtype; it has no bfloat16. */
const numpyTypes: Readonly<Record<Exclude<DType, 'bfloat16'>, string>> = {
  bool: 'b1',
  int8: 'i1',
  uint8: 'u1',
  int16: 'i2',
  uint16: 'u2',
  int32: 'i4',
  uint32: 'u4',
  int64: 'i8',
  uint64: 'u8',
  float16: 'f2',
  float32: 'f4',
  float64: 'f8',
};
const dtypes = new Map(Object.entries(numpyTypes).map(([dtype, code]) => [code, dtype as DType]));

const MAGIC = '\x93NUMPY';
/** NumPy itself refuses to parse longer headers from files it does not trust. */
const MAX_HEADER = 10_000;

/**
 * The array in the bytes of a `.npy` file, in row-major order. Big-endian and Fortran-order arrays are converted.
 * The tensor may share memory with `bytes`.
 * @param name what to call it in messages.
 * @throws {FormatError} if it is not a `.npy` file, is truncated, or holds objects, records, text or complex numbers.
 */
export function parseNpy(bytes: Uint8Array, name = 'npy'): Tensor {
  const { descr, fortranOrder, shape, dataOffset } = parseNpyHeader(bytes, name);
  return arrayFromNumpy(numpyType(descr, name), fortranOrder, shape, bytes.subarray(dataOffset), name);
}

/**
 * The text in the bytes of a `.npy` file that holds one, as `numpy.savez(..., network='name')` writes it.
 * @param name what to call it in messages.
 * @throws {FormatError} if it holds anything else.
 */
export function parseNpyText(bytes: Uint8Array, name = 'npy'): string {
  const { descr, shape, dataOffset } = parseNpyHeader(bytes, name);
  const [, order, kind, length] = /^([<>|=])([US])(\d+)$/.exec(descr) ?? [];
  if (kind === undefined || checkedElementCount(shape, name) !== 1) {
    throw new FormatError(
      `${name}: expected one text, got an array of type '${printable(descr)}' and shape [${shape}]`,
    );
  }
  const size = Number(length) * (kind === 'U' ? 4 : 1);
  const data = bytes.subarray(dataOffset);
  if (data.length !== size) {
    throw new FormatError(`${name}: a text of ${size} bytes has ${data.length}; it is damaged`);
  }
  if (kind === 'S') return new TextDecoder().decode(data).replace(/\0+$/, '');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const points = Array.from({ length: Number(length) }, (_, i) => view.getUint32(4 * i, order !== '>'));
  if (points.some((point) => point > 0x10ffff)) throw new FormatError(`${name}: holds no valid Unicode`);
  return String.fromCodePoint(...points).replace(/\0+$/, '');
}

/**
 * An array of NumPy's as a tensor in row-major order. It may share memory with `data`.
 * @throws {FormatError} if shape and data do not fit.
 */
export function arrayFromNumpy(
  { dtype, order }: ReturnType<typeof numpyType>,
  fortranOrder: boolean,
  shape: readonly number[],
  data: Uint8Array,
  name: string,
): Tensor {
  const expected = checkedElementCount(shape, name) * bytesPerElement(dtype);
  if (data.length !== expected) {
    throw new FormatError(
      `${name}: shape [${shape}] of ${dtype} takes ${expected} bytes but there are ${data.length}; it is damaged`,
    );
  }
  const stored = tensorFromBytes(dtype, shape, ownElements(data, dtype, order === '>'));
  if (!fortranOrder || shape.length < 2) return stored;
  const strides = rowMajorStrides(shape.toReversed()).reverse();
  return gatherStrided(dtype, shape, strides, stored.data, name);
}

/** A tensor as a `.npy` file. NumPy has no bfloat16: such a tensor is written as float32, without loss. */
export function encodeNpy(value: Tensor): Uint8Array<ArrayBuffer> {
  if (value.dtype === 'bfloat16') return encodeNpy(toFloat32(value));
  return withHeader(npyHeader(value.dtype, value.shape), tensorBytes(value));
}

/** A text as a `.npy` file, as NumPy writes a string: see {@link parseNpyText}. */
export function encodeNpyText(text: string): Uint8Array<ArrayBuffer> {
  const points = Uint32Array.from(text, (character) => character.codePointAt(0)!);
  return withHeader(headerBytes(`<U${points.length}`, []), new Uint8Array(points.buffer));
}

function withHeader(header: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return joinArrays('uint8', [header, data]) as Uint8Array<ArrayBuffer>;
}

/** What comes before the elements in a `.npy` file: a multiple of 64 bytes. */
export function npyHeader(dtype: Exclude<DType, 'bfloat16'>, shape: readonly number[]): Uint8Array {
  return headerBytes(`${bytesPerElement(dtype) === 1 ? '|' : '<'}${numpyTypes[dtype]}`, shape);
}

function headerBytes(descr: string, shape: readonly number[]): Uint8Array {
  const dims = `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${dims}, }`;
  const length = Math.ceil((10 + header.length + 1) / 64) * 64 - 10;
  const size = String.fromCharCode(length & 0xff, length >> 8);
  const text = `${MAGIC}\x01\x00${size}${header.padEnd(length - 1)}\n`;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Bytes of a file's beginning in which the longest header ends. */
export const LONGEST_HEADER = 12 + MAX_HEADER;

/** The header of a `.npy` file. @param bytes of its beginning. @throws {FormatError} if it is none, or is cut off. */
export function parseNpyHeader(bytes: Uint8Array, name: string) {
  if (bytes.length < 10 || latin1Text(bytes.subarray(0, 6)) !== MAGIC) {
    throw new FormatError(`${name}: is not a .npy file: it does not start with \\x93NUMPY`);
  }
  const version = uint8At(bytes, 6);
  if (version < 1 || version > 3) {
    throw new FormatError(`${name}: .npy version ${version} is not known; versions 1 to 3 are`);
  }
  const start = version === 1 ? 10 : 12;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = version === 1 ? view.getUint16(8, true) : bytes.length < 12 ? 0 : view.getUint32(8, true);
  if (length > MAX_HEADER || start + length > bytes.length) {
    throw new FormatError(`${name}: its .npy header of ${length} bytes is cut off or absurdly long`);
  }
  const header = latin1Text(bytes.subarray(start, start + length));
  return { ...parseDescription(header, name), dataOffset: start + length };
}

/** The header is a Python dict literal with exactly these three keys. */
function parseDescription(header: string, name: string) {
  const descr = /['"]descr['"]\s*:\s*(['"])(.*?)\1/.exec(header)?.[2];
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(header)?.[1];
  const shape = /['"]shape['"]\s*:\s*\(([\d\sL,]*)\)/.exec(header)?.[1];
  if (descr === undefined && header.includes('descr')) {
    throw new FormatError(
      `${name}: holds records, not a plain array; save its fields as arrays of their own`,
    );
  }
  if (descr === undefined || order === undefined || shape === undefined) {
    throw new FormatError(`${name}: its .npy header lacks descr, fortran_order or shape; it is damaged`);
  }
  const dims = shape.split(',').map((dim) => dim.trim().replace(/L$/, '')); // Python 2 wrote 3L
  return {
    /** The element type as NumPy writes it, such as `<f4`. */
    descr,
    fortranOrder: order === 'True',
    shape: dims.filter((dim) => dim !== '').map(Number),
  };
}

/** Checks whether arrays of a type that NumPy calls `code`, such as `f4`, can be read. */
export function isNumpyType(code: string): boolean {
  return dtypes.has(code);
}

/** The element type that NumPy calls `descr`, such as `<f4`. @throws {FormatError} for one that is not supported. */
export function numpyType(descr: string, name: string) {
  const dtype = dtypes.get(descr.slice(1));
  if (!dtype || !/^[<>|=]/.test(descr)) {
    throw new FormatError(
      `${name}: arrays of type '${printable(descr)}' cannot be read; use bool, int, uint or float`,
    );
  }
  return { dtype, order: descr[0] === '>' ? '>' : '<' };
}

/** The data as little-endian bytes that may be changed in place where their dtype needs that. */
function ownElements(data: Uint8Array, dtype: DType, bigEndian: boolean): Uint8Array {
  if (bigEndian) return swapBytes(data, bytesPerElement(dtype));
  return dtype === 'bool' ? new Uint8Array(data) : data; // Buffer's slice is not a copy
}

function swapBytes(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = uint8At(bytes, i - (i % size) + (size - 1 - (i % size)));
  return out;
}

/** One character a byte. Headers are short, so spreading them into arguments is safe. */
function latin1Text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
