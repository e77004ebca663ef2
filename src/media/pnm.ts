/** @file Netpbm images: PBM, PGM and PPM, as text (P1 to P3) or binary (P4 to P6). Source: pbm(5), pgm(5), ppm(5). */

import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import { type Channels, type ImageFile, roundHalfEven } from './pixels.ts';

/** The fields of a header: `most` is the value of white, and `pixels` is where pixels start. */
type Header = ReturnType<typeof readHeader>;

/** Opens a PBM, PGM or PPM file, whose white becomes 255. @throws {FormatError} if its header is damaged. */
export function openPnm(bytes: Uint8Array): ImageFile {
  const header = readHeader(bytes);
  const { width, height, channels, isBitmap, isText, pixels } = header;
  const read = isText ? readText : isBitmap ? readBits : readBinary;
  return {
    width,
    height,
    async decode() {
      const data = new Uint8Array(width * height * channels);
      read(bytes.subarray(pixels), data, header);
      return { width, height, channels, data };
    },
  };
}

function readHeader(bytes: Uint8Array) {
  const kind = uint8At(bytes, 1) - 0x30;
  const isBitmap = kind === 1 || kind === 4; // bits rather than numbers, 1 for black
  let at = 2;
  const number = (what: string): number => {
    const end = skipSpace(bytes, at);
    const [text] = /^\d{1,10}/.exec(String.fromCharCode(...bytes.subarray(end, end + 10))) ?? [];
    if (text === undefined) throw new FormatError(`has no ${what} in its header`);
    at = end + text.length;
    return Number(text);
  };
  const [width, height] = [number('width'), number('height')];
  const most = isBitmap ? 1 : number('largest value');
  if (width < 1 || height < 1 || most < 1 || most > 65535) {
    throw new FormatError(`states a size of ${width} x ${height} pixels of 0 to ${most}`);
  }
  const channels: Channels = kind % 3 === 0 ? 3 : 1;
  return { width, height, channels, isBitmap, isText: kind <= 3, most, pixels: at + 1 };
}

/** Skips white space, and comments from # to the end of their line. */
function skipSpace(bytes: Uint8Array, start: number): number {
  let at = start;
  let inComment = false;
  for (; at < bytes.length; at++) {
    const byte = uint8At(bytes, at);
    if (byte === 0x23) inComment = true;
    else if (byte === 0x0a || byte === 0x0d) inComment = false;
    else if (!inComment && !isSpace(byte)) break;
  }
  return at;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function readBinary(stored: Uint8Array, out: Uint8Array, { most }: Header): void {
  const size = most > 255 ? 2 : 1;
  requireBytes(stored, out.length * size);
  const valueAt = (i: number): number =>
    size === 1 ? uint8At(stored, i) : 256 * uint8At(stored, 2 * i) + uint8At(stored, 2 * i + 1);
  for (let i = 0; i < out.length; i++) out[i] = toByte(valueAt(i), most);
}

/** Reads rows of bits, each of which begins with a new byte. */
function readBits(stored: Uint8Array, out: Uint8Array, { width, height }: Header): void {
  const stride = Math.ceil(width / 8);
  requireBytes(stored, stride * height);
  for (let i = 0; i < out.length; i++) {
    const x = i % width;
    const isBlack = (uint8At(stored, Math.floor(i / width) * stride + (x >> 3)) >> (7 - (x % 8))) & 1;
    out[i] = isBlack ? 0 : 255;
  }
}

/** Reads numbers separated by white space; bits may do without. */
function readText(stored: Uint8Array, out: Uint8Array, { isBitmap, most }: Header): void {
  let at = 0;
  for (let i = 0; i < out.length; i++) {
    at = skipSpace(stored, at);
    const start = at;
    let value = 0;
    for (; at < Math.min(start + (isBitmap ? 1 : 5), stored.length); at++) {
      const digit = uint8At(stored, at) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = 10 * value + digit;
    }
    if (at === start) throw new FormatError(`is cut short after ${i} of ${out.length} values`);
    out[i] = toByte(isBitmap ? 1 - value : value, most);
  }
}

function requireBytes(stored: Uint8Array, length: number): void {
  if (stored.length >= length) return;
  throw new FormatError(`is cut short: its pixels take ${length} bytes, got ${stored.length}`);
}

/** Scales a value from 0 to `most` to one from 0 to 255, rounded as Pillow does. */
function toByte(value: number, most: number): number {
  return Math.min(255, roundHalfEven((value / most) * 255));
}
