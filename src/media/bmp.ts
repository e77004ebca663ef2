/**
 * @file Windows bitmaps (BMP): palettes of 1, 4 and 8 bits, 16, 24 and 32 bits with any masks, and run lengths. Alpha is
 * dropped. Source of the layout: the documentation of BITMAPINFOHEADER and its successors.
 */

import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import type { Image, ImageFile } from './pixels.ts';

/** Storage of the pixels. */
const COMPRESSION = { none: 0, rle8: 1, rle4: 2, masks: 3, alphaMasks: 6 } as const;
/** Length of the oldest header, whose fields are shorter. */
const CORE_HEADER = 12;
const FILE_HEADER = 14;

/** The fields of the headers. */
type Header = ReturnType<typeof readHeader>;

/** Opens a BMP file, to be decoded to RGB. @throws {FormatError} if its header is damaged, or it holds a JPEG or PNG. */
export function openBmp(bytes: Uint8Array): ImageFile {
  const header = readHeader(bytes);
  const { width, height } = header;
  return { width, height, decode: async () => decode(bytes.subarray(header.pixels), header) };
}

/** Decodes the pixels of a file. @throws {FormatError} if they are damaged or cut short. */
function decode(pixels: Uint8Array, header: Header): Image {
  const { width, height, compression, topDown } = header;
  const data = new Uint8Array(3 * width * height);
  const isPacked = compression === COMPRESSION.rle8 || compression === COMPRESSION.rle4;
  const stored = isPacked ? unpackRuns(pixels, header) : pixels;
  const bits = isPacked ? 8 : header.bits;
  const stride = isPacked ? width : 4 * Math.ceil((width * bits) / 32);
  if (stored.length < stride * (height - 1) + Math.ceil((width * bits) / 8)) {
    throw new FormatError(`is cut short: ${width} x ${height} pixels of ${bits} bits do not fit into it`);
  }
  for (let y = 0; y < height; y++) {
    const from = topDown ? y : height - 1 - y;
    const row = data.subarray(3 * y * width, 3 * (y + 1) * width);
    decodeRow(stored.subarray(from * stride), row, { ...header, bits });
  }
  return { width, height, channels: 3, data };
}

function readHeader(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < FILE_HEADER + CORE_HEADER) throw new FormatError('is cut short within its header');
  const length = view.getUint32(14, true);
  const isCore = length === CORE_HEADER;
  if (!isCore && (length < 40 || length > 256 || bytes.length < FILE_HEADER + length)) {
    throw new FormatError(`has a header of ${length} bytes, which no version of BMP has`);
  }
  const width = isCore ? view.getUint16(18, true) : view.getInt32(18, true);
  const stored = isCore ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(isCore ? 24 : 28, true);
  const compression = isCore ? COMPRESSION.none : view.getUint32(30, true);
  if (width < 1 || stored === 0) throw new FormatError(`states a size of ${width} x ${stored} pixels`);
  requireSupported(bits, compression);
  const masks = masksOf(view, length, bits, compression);
  const colours = (!isCore && view.getUint32(46, true)) || (bits <= 8 ? 2 ** bits : 0);
  const afterMasks = compression === COMPRESSION.masks && length === 40 ? 12 : 0;
  const palette = readPalette(bytes, FILE_HEADER + length + afterMasks, colours, isCore ? 3 : 4, bits);
  return {
    width,
    height: Math.abs(stored),
    bits,
    compression,
    /** Rows go from the top down, as a negative height means. */
    topDown: stored < 0,
    /** Where pixels start. */
    pixels: view.getUint32(10, true),
    palette,
    masks,
  };
}

function requireSupported(bits: number, compression: number): void {
  const { none, rle8, rle4, masks, alphaMasks } = COMPRESSION;
  const allowed = {
    1: [none],
    4: [none, rle4],
    8: [none, rle8],
    16: [none, masks, alphaMasks],
    24: [none],
    32: [none, masks, alphaMasks],
  }[bits];
  if (allowed?.some((one) => one === compression)) return;
  throw new FormatError(`has ${bits} bits per pixel in compression ${compression}, which is not supported`);
}

/** Masks of red, green and blue in a pixel of 16 or 32 bits. */
type Masks = readonly [number, number, number];

function masksOf(view: DataView, length: number, bits: number, compression: number): Masks {
  const { masks, alphaMasks } = COMPRESSION;
  if (compression !== masks && compression !== alphaMasks) {
    return bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  }
  if (view.byteLength < FILE_HEADER + Math.max(length, 52))
    throw new FormatError('is cut short within its masks');
  return [54, 58, 62].map((at) => view.getUint32(at, true)) as unknown as Masks;
}

/** Reads colours in the order blue, green, red, as RGB. Missing ones are black. */
function readPalette(
  bytes: Uint8Array,
  start: number,
  colours: number,
  size: number,
  bits: number,
): Uint8Array {
  const palette = new Uint8Array(bits <= 8 ? 3 * 2 ** bits : 0);
  const count = Math.min(colours, palette.length / 3, Math.floor((bytes.length - start) / size));
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) palette[3 * i + c] = uint8At(bytes, start + size * i + 2 - c);
  }
  return palette;
}

function decodeRow(stored: Uint8Array, row: Uint8Array, { width, bits, palette, masks }: Header): void {
  if (bits === 24) {
    for (let i = 0; i < 3 * width; i += 3)
      for (let c = 0; c < 3; c++) row[i + c] = uint8At(stored, i + 2 - c);
    return;
  }
  if (bits <= 8) {
    for (let x = 0; x < width; x++) {
      const shift = 8 - bits - ((x * bits) % 8);
      const index = (uint8At(stored, (x * bits) >> 3) >> shift) & (2 ** bits - 1);
      for (let c = 0; c < 3; c++) row[3 * x + c] = uint8At(palette, 3 * index + c);
    }
    return;
  }
  const fields = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { mask, shift, most: mask >>> shift }; // the largest value in its bits
  });
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  for (let x = 0; x < width; x++) {
    const pixel = bits === 16 ? view.getUint16(2 * x, true) : view.getUint32(4 * x, true);
    for (const [c, { mask, shift, most }] of fields.entries()) {
      const value = (pixel & mask) >>> shift;
      row[3 * x + c] = most === 255 ? value : Math.floor((value * 255) / Math.max(most, 1));
    }
  }
}

/** Decodes run lengths to palette indices of a byte, row by row from the bottom; pixels without a run are 0. */
function unpackRuns(runs: Uint8Array, { width, height, compression }: Header): Uint8Array {
  const out = new Uint8Array(width * height);
  const perByte = compression === COMPRESSION.rle4 ? 2 : 1;
  let [x, y, at] = [0, 0, 0];
  const put = (value: number): void => {
    if (x < width && y < height) out[y * width + x] = value;
    x++;
  };
  /** Returns the value of pixel `i` of a run that starts at `start`. */
  const valueAt = (start: number, i: number): number => {
    const byte = uint8At(runs, start + Math.floor(i / perByte));
    return perByte === 1 ? byte : i % 2 === 0 ? byte >> 4 : byte & 15;
  };
  while (at + 1 < runs.length) {
    const [count, code] = [uint8At(runs, at), uint8At(runs, at + 1)];
    at += 2;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(valueAt(at - 1, i % perByte));
    } else if (code === 0) {
      [x, y] = [0, y + 1];
    } else if (code === 1) {
      return out;
    } else if (code === 2) {
      if (at + 1 >= runs.length) break;
      [x, y] = [x + uint8At(runs, at), y + uint8At(runs, at + 1)];
      at += 2;
    } else {
      const length = Math.ceil(code / perByte);
      if (at + length > runs.length) break;
      for (let i = 0; i < code; i++) put(valueAt(at, i));
      at += length + (length % 2);
    }
  }
  if (y >= height - 1) return out; // some programs leave the end mark out
  throw new FormatError(`is cut short in row ${y + 1} of ${height}`);
}
