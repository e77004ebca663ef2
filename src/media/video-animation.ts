/**
 * @file Animated WebP and GIF. sharp compresses each frame as a picture of its own; the frames are then put together
 * here, so that frames can be added at any time without compressing the earlier ones again.
 */

import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import { loadSharp } from './load-sharp.ts';
import { type Image, withChannels } from './pixels.ts';
import type { VideoEncoder } from './video-encoder.ts';

/** An animation's frame: compressed, and how long it is shown. */
interface Frame {
  readonly data: Uint8Array;
  /** In milliseconds for WebP, in hundredths of a second for GIF. */
  readonly duration: number;
}

/** Frames of at most this many pixels are kept without loss: lossy codecs spoil small pictures most, and gain least. */
const LOSSLESS_PIXELS = 128 * 128;

/** Repeat for ever. */
const FOREVER = 0;

/**
 * An animated WebP. Frames of up to 128 x 128 pixels are without loss, larger ones of quality 90.
 * Source of the layout: RFC 9649, section 2.7.
 */
export function webpEncoder(width: number, height: number, fps: number): VideoEncoder {
  const lossless = width * height <= LOSSLESS_PIXELS;
  const frames: Frame[] = [];
  return {
    async add(images) {
      for (const image of images) {
        const picture = await compress(image, (raw) =>
          raw.webp(lossless ? { lossless } : { quality: 90, smartSubsample: true }),
        );
        frames.push({ data: webpBitstream(picture), duration: durationOf(frames.length, 1000 / fps) });
      }
    },
    async file() {
      const size = [...uint24(width - 1), ...uint24(height - 1)];
      const chunks = [
        chunk('VP8X', Uint8Array.of(2, 0, 0, 0, ...size)), // 2: there is an animation
        chunk('ANIM', Uint8Array.of(255, 255, 255, 255, ...uint16(FOREVER))),
        ...frames.map(({ data, duration }) =>
          chunk('ANMF', Uint8Array.of(0, 0, 0, 0, 0, 0, ...size, ...uint24(duration), 2), data),
        ),
      ];
      const length = chunks.reduce((sum, { length }) => sum + length, 4);
      return [ascii('RIFF'), Uint8Array.from(uint32(length)), ascii('WEBP'), ...chunks];
    },
  };
}

/** An animated GIF, each frame with its own palette of 256 colours. Source of the layout: GIF89a specification. */
export function gifEncoder(width: number, height: number, fps: number): VideoEncoder {
  const frames: Frame[] = [];
  return {
    async add(images) {
      for (const image of images) {
        const picture = await compress(image, (raw) => raw.gif());
        frames.push({ data: gifImage(picture), duration: durationOf(frames.length, 100 / fps) });
      }
    },
    async file() {
      const screen = Uint8Array.of(...uint16(width), ...uint16(height), 0, 0, 0);
      const loop = [0x21, 0xff, 11, ...ascii('NETSCAPE2.0'), 3, 1, ...uint16(FOREVER), 0];
      return [
        ascii('GIF89a'),
        screen,
        Uint8Array.from(loop),
        ...frames.flatMap(({ data, duration }) => [
          Uint8Array.of(0x21, 0xf9, 4, 0, ...uint16(duration), 0, 0),
          data,
        ]),
        Uint8Array.of(0x3b),
      ];
    },
  };
}

/** How long frame `index` is shown, in whole units, such that rounding errors do not add up. */
function durationOf(index: number, units: number): number {
  return Math.round((index + 1) * units) - Math.round(index * units);
}

type Sharp = ReturnType<Awaited<ReturnType<typeof loadSharp>>>;

async function compress(image: Image, format: (raw: Sharp) => Sharp): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const { width, height, channels, data } = withChannels(image, 3);
  return format(sharp(data, { raw: { width, height, channels } })).toBuffer();
}

/** The chunk `VP8 ` or `VP8L` of a WebP file of one picture, with its header. */
function webpBitstream(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 12; at + 8 <= file.length; ) {
    const size = view.getUint32(at + 4, true);
    const end = at + 8 + size + (size % 2);
    if (String.fromCharCode(...file.subarray(at, at + 3)) === 'VP8' && file[at + 3] !== 0x58) {
      return file.subarray(at, end);
    }
    at = end;
  }
  throw new FormatError('WebP: expected a picture chunk in what the encoder wrote');
}

/** Image descriptor, palette and pixels of a GIF file of one picture; its global palette becomes the picture's own. */
function gifImage(file: Uint8Array): Uint8Array {
  const globalFlags = uint8At(file, 10);
  const globalBytes = paletteBytes(globalFlags);
  let at = 13 + globalBytes;
  while (file[at] === 0x21) at = endOfBlocks(file, at + 2);
  if (file[at] !== 0x2c) throw new FormatError('GIF: expected a picture in what the encoder wrote');
  const flags = uint8At(file, at + 9);
  const localBytes = paletteBytes(flags);
  const pixels = file.subarray(at + 10 + localBytes, endOfBlocks(file, at + 11 + localBytes));
  const [palette, sizeFlags] =
    localBytes > 0
      ? [file.subarray(at + 10, at + 10 + localBytes), flags & 7]
      : [file.subarray(13, 13 + globalBytes), globalFlags & 7];
  return joined([file.subarray(at, at + 9), [(flags & 0x40) | 0x80 | sizeFlags], palette, pixels]);
}

/** Bytes of the palette that these flags announce. */
function paletteBytes(flags: number): number {
  return flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0;
}

/** Where a chain of sub-blocks that starts at `start` ends. */
function endOfBlocks(file: Uint8Array, start: number): number {
  let at = start;
  for (let size = uint8At(file, at); size > 0; size = uint8At(file, at)) at += size + 1;
  return at + 1;
}

/** A RIFF chunk, padded to an even length. */
function chunk(name: string, ...parts: Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  return joined([ascii(name), uint32(size), ...parts, size % 2 ? [0] : []]);
}

function joined(parts: readonly ArrayLike<number>[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const littleEndian = (bytes: number) => (value: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) & 255);
const uint16 = littleEndian(2);
const uint24 = littleEndian(3);
const uint32 = littleEndian(4);
