/**
 * @file MP4 with H.264 anywhere, in browsers too: h264-mp4-encoder (minih264 in WebAssembly) compresses, mediabunny puts
 * the file together. Both are loaded on first use.
 */

import type { H264MP4Encoder } from 'h264-mp4-encoder';
import type { EncodedPacket } from 'mediabunny';
import { at, uint8At } from '../at.ts';
import { AcditError } from '../errors.ts';
import { type Image, withChannels } from './pixels.ts';

/** A video in the making, of any format: its frames so far, compressed. */
export interface VideoEncoder {
  /** Append frames, all of one size. */
  add(frames: readonly Image[]): Promise<void>;
  /** The whole file of all frames so far, in pieces. */
  file(): Promise<readonly Uint8Array[]>;
}

/** Loads h264-mp4-encoder, which differs between platforms. */
export type CreateEncoder = () => Promise<H264MP4Encoder>;

/** Settings of the encoder. */
const SETTINGS = {
  // From 10 (best) to 51. With 14, luma is off by less than 1 in 255 on average, as small images need; the clips of
  // these models stay small all the same.
  quantizationParameter: 14,
  // 0 is the slowest. 5 is several times faster, with the same quality and size.
  speed: 5,
  // Frames from one that can be decoded alone to the next.
  groupOfPictures: 48,
  // Whole numbers only. It serves to hold a bit rate, which is not asked for; the file has the rate that was.
  frameRate: 25,
} as const;

/** What `yuv420` makes; without this, players guess. */
const colorSpace = {
  primaries: 'smpte170m',
  transfer: 'smpte170m',
  matrix: 'smpte170m',
  fullRange: false,
} as const;

/**
 * An MP4 with H.264 (baseline profile, yuv420p) and its index in front. Frames of odd sizes are made even by repeating
 * the last row or column. Frames added together are compressed together and begin with a key frame, so nothing waits
 * for later frames.
 */
export function h264Encoder(createEncoder: CreateEncoder, fps: number): VideoEncoder {
  const packets: EncodedPacket[] = [];
  let config: VideoDecoderConfig | undefined;
  return {
    async add(frames) {
      const added = await compress(createEncoder, frames);
      config ??= { ...added.config, colorSpace };
      packets.push(...added.packets);
    },
    async file() {
      return config === undefined ? [] : [await mux(packets, config, fps)];
    },
  };
}

/** Compress frames by an encoder of their own. Its memory is freed at the end; its code is compiled once. */
async function compress(createEncoder: CreateEncoder, frames: readonly Image[]) {
  const encoder = await createEncoder();
  try {
    // All encoders share one file system, in memory.
    const outputFilename = `${globalThis.crypto.randomUUID()}.mp4`;
    const { width, height } = yuv420(at(frames, 0));
    Object.assign(encoder, { outputFilename, width, height, ...SETTINGS });
    encoder.initialize();
    for (const frame of frames) {
      encoder.addFrameYuv(yuv420(frame).data);
      await new Promise((resolve) => setTimeout(resolve, 0)); // let signals and progress through
    }
    encoder.finalize();
    const file = encoder.FS.readFile(outputFilename);
    encoder.FS.unlink(outputFilename);
    return await demux(file);
  } finally {
    encoder.delete();
  }
}

/** The compressed frames of an MP4, and how they are decoded. */
async function demux(file: Uint8Array) {
  const { BufferSource, EncodedPacketSink, Input, MP4 } = await import('mediabunny');
  const input = new Input({ source: new BufferSource(file), formats: [MP4] });
  const track = await input.getPrimaryVideoTrack();
  const config = await track?.getDecoderConfig();
  if (!track || !config) throw new AcditError('H.264 encoder: it wrote no video track');
  const packets: EncodedPacket[] = [];
  for await (const packet of new EncodedPacketSink(track).packets()) packets.push(packet);
  return { packets, config };
}

/** All frames so far as a file. */
async function mux(packets: readonly EncodedPacket[], decoderConfig: VideoDecoderConfig, fps: number) {
  const { BufferTarget, EncodedPacket, EncodedVideoPacketSource, Mp4OutputFormat, Output } = await import(
    'mediabunny'
  );
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: 'in-memory' }), target });
  const track = new EncodedVideoPacketSource('avc');
  output.addVideoTrack(track, { frameRate: fps });
  await output.start();
  for (const [index, { data }] of packets.entries()) {
    const type = isKeyFrame(data) ? 'key' : 'delta'; // the encoder's own file calls all of them key frames
    await track.add(new EncodedPacket(data, type, index / fps, 1 / fps), { decoderConfig });
  }
  await output.finalize();
  const file = new Uint8Array(target.buffer!);
  clearTimes(file); // mediabunny writes the present time
  return file;
}

/**
 * Whether a compressed frame can be decoded alone: whether there is a slice of an IDR picture among its units, each of
 * which follows its length in 4 bytes. Sources: ISO/IEC 14496-15, section 5.3; H.264, table 7-1.
 */
function isKeyFrame(frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  for (let at = 0; at + 4 < frame.length; at += 4 + view.getUint32(at)) {
    if ((uint8At(frame, at + 4) & 31) === 5) return true;
  }
  return false;
}

/**
 * An image as planar YUV 4:2:0 of BT.601, 8 bits, limited range (luma 16 to 235): luma (H, W), then the blue and the
 * red difference (H/2, W/2) each, averages of 2 x 2 pixels. An odd last row or column is repeated to make both sides
 * even. Source: ITU-R BT.601-7, section 2.5.
 */
export function yuv420(image: Image): { width: number; height: number; data: Uint8Array } {
  const { data: rgb } = withChannels(image, 3);
  const width = image.width + (image.width % 2);
  const height = image.height + (image.height % 2);
  const data = new Uint8Array((width * height * 3) / 2);
  const blueStart = width * height;
  const redStart = blueStart + (width * height) / 4;
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      let [r, g, b] = [0, 0, 0];
      for (let i = 0; i < 4; i++) {
        const [row, column] = [y + (i >> 1), x + (i & 1)];
        const at = 3 * (Math.min(row, image.height - 1) * image.width + Math.min(column, image.width - 1));
        const [red, green, blue] = [uint8At(rgb, at), uint8At(rgb, at + 1), uint8At(rgb, at + 2)];
        data[row * width + column] = luma(red, green, blue);
        r += red / 4;
        g += green / 4;
        b += blue / 4;
      }
      const colour = (y / 2) * (width / 2) + x / 2;
      data[blueStart + colour] = Math.round(128 + (-37.797 * r - 74.203 * g + 112 * b) / 255);
      data[redStart + colour] = Math.round(128 + (112 * r - 93.786 * g - 18.214 * b) / 255);
    }
  }
  return { width, height, data };
}

function luma(r: number, g: number, b: number): number {
  return Math.round(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255);
}

/** Boxes of an MP4 that contain other boxes, down to those with times. */
const CONTAINERS = new Set(['moov', 'trak', 'mdia']);
/** Boxes that begin with a version, flags, a creation time and a modification time. */
const TIMED = new Set(['mvhd', 'tkhd', 'mdhd']);

/** Bytes of a box's size and type, and of a version and flags. */
const HEADER = 8;
const VERSION = 4;

/**
 * Sets all creation and modification times of an MP4 to 0, which players read as "unknown", in place. The same frames
 * then give the same bytes. Source: ISO/IEC 14496-12, sections 8.2.2, 8.3.2 and 8.4.2.
 * @param file a whole MP4 with boxes of 32-bit sizes outside its media data
 */
function clearTimes(file: Uint8Array): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + HEADER <= file.length; ) {
    const size = view.getUint32(at);
    const end = size < HEADER ? file.length : Math.min(at + size, file.length); // 0 and 1: the media data, which is last
    const type = String.fromCharCode(...file.subarray(at + 4, at + HEADER));
    const content = at + HEADER;
    if (CONTAINERS.has(type)) clearTimes(file.subarray(content, end));
    else if (TIMED.has(type)) {
      const times = file[content] === 1 ? 16 : 8; // version 1 has 64-bit times
      file.fill(0, content + VERSION, content + VERSION + times);
    }
    at = end;
  }
}
