/**
 * @file Animated WebP and GIF. sharp compresses each frame as an image of its own; the frames are then put together
 * here, so that frames can be added at any time without compressing the earlier ones again.
 */

import type { Sharp } from 'sharp';
import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import { joinArrays } from '../tensor/axes.ts';
import { withChannels } from './pixels.ts';
import type { VideoEncoder } from './video-h264.ts';

/** An animation's frame: compressed, and how long it is shown. */
interface Frame {
  readonly data: Uint8Array;
  /** In milliseconds for WebP, in hundredths of a second for GIF. */
  readonly duration: number;
}

/** Frames of at most this many pixels are kept without loss: lossy codecs spoil small images most, and gain least. */
const LOSSLESS_PIXELS = 128 * 128;

/** Repeat for ever. */
const FOREVER = 0;

/**
 * An animated WebP. Frames of up to 128 x 128 pixels are without loss, larger ones of quality 90.
 * Source of the layout: RFC 9649, section 2.7.
 */
export function webpEncoder(width: number, height: number, fps: number): VideoEncoder {
  const lossless = width * height <= LOSSLESS_PIXELS;
  const settings = lossless ? { lossless } : { quality: 90, smartSubsample: true };
  const size = [...uint24(width - 1), ...uint24(height - 1)];
  return animationEncoder(
    1000 / fps,
    async (raw) => webpBitstream(await raw.webp(settings).toBuffer()),
    (frames) => {
      const chunks = [
        chunk('VP8X', Uint8Array.of(2, 0, 0, 0, ...size)), // 2: there is an animation
        chunk('ANIM', Uint8Array.of(255, 255, 255, 255, ...uint16(FOREVER))),
        ...frames.map(({ data, duration }) =>
          chunk('ANMF', Uint8Array.of(0, 0, 0, 0, 0, 0, ...size, ...uint24(duration), 2), data),
        ),
      ];
      const length = chunks.reduce((sum, { length }) => sum + length, 4);
      return [ascii('RIFF'), uint32(length), ascii('WEBP'), ...chunks];
    },
  );
}

/** An animated GIF, each frame with its own palette of 256 colours. Source of the layout: GIF89a specification. */
export function gifEncoder(width: number, height: number, fps: number): VideoEncoder {
  return animationEncoder(
    100 / fps,
    async (raw) => gifImage(await raw.gif().toBuffer()),
    (frames) => [
      ascii('GIF89a'),
      Uint8Array.of(...uint16(width), ...uint16(height), 0, 0, 0),
      Uint8Array.of(0x21, 0xff, 11, ...ascii('NETSCAPE2.0'), 3, 1, ...uint16(FOREVER), 0),
      ...frames.flatMap(({ data, duration }) => [
        Uint8Array.of(0x21, 0xf9, 4, 0, ...uint16(duration), 0, 0),
        data,
      ]),
      Uint8Array.of(0x3b),
    ],
  );
}

/**
 * An encoder that compresses frame by frame and puts them together.
 * @param units how long a frame is shown, in the units of its format. Durations are rounded such that errors do not add up.
 */
function animationEncoder(
  units: number,
  compress: (raw: Sharp) => Promise<Uint8Array>,
  assemble: (frames: readonly Frame[]) => Uint8Array[],
): VideoEncoder {
  const frames: Frame[] = [];
  return {
    async add(images) {
      const { default: sharp } = await import('sharp');
      for (const image of images) {
        const { width, height, channels, data: pixels } = withChannels(image, 3);
        const data = await compress(sharp(pixels, { raw: { width, height, channels } }));
        const { length: index } = frames;
        const duration = Math.round((index + 1) * units) - Math.round(index * units);
        frames.push({ data, duration });
      }
    },
    file: async () => assemble(frames),
  };
}

/** The chunk `VP8 ` or `VP8L` of a WebP file of one image, with its header. */
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

/** Image descriptor, palette and pixels of a GIF file of one image; its global palette becomes the image's own. */
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
  const descriptor = Uint8Array.of(...file.subarray(at, at + 9), (flags & 0x40) | 0x80 | sizeFlags);
  return joinArrays('uint8', [descriptor, palette, pixels]);
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
  return joinArrays('uint8', [ascii(name), uint32(size), ...parts, new Uint8Array(size % 2)]);
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const littleEndian = (bytes: number) => (value: number) =>
  Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) & 255);
const uint16 = littleEndian(2);
const uint24 = littleEndian(3);
const uint32 = littleEndian(4);
