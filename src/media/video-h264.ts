/**
 * @file MP4 with H.264 anywhere, in browsers too: h264-mp4-encoder (minih264 in WebAssembly) compresses, mediabunny puts
 * the file together. Both are loaded on first use.
 */

import type { H264MP4Encoder } from 'h264-mp4-encoder';
import type { EncodedPacket } from 'mediabunny';
import { at, uint8At } from '../at.ts';
import { AcditError } from '../errors.ts';
import { clearTimes } from './mp4-times.ts';
import type { Image } from './pixels.ts';
import type { VideoEncoder } from './video-encoder.ts';
import { yuv420 } from './video-yuv.ts';

/** Loads h264-mp4-encoder, which differs between platforms. */
export type CreateEncoder = () => Promise<H264MP4Encoder>;

/** Settings of the encoder. */
const SETTINGS = {
  // From 10 (best) to 51. With 14, luma is off by less than 1 in 255 on average, as small pictures need; the clips of
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

/** Compressed frames, and how they are decoded: what a player needs besides. */
interface Compressed {
  readonly packets: readonly EncodedPacket[];
  readonly config: VideoDecoderConfig;
}

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
      return config === undefined ? [] : [await mux({ packets, config }, fps)];
    },
  };
}

/** Compress frames by an encoder of their own. Its memory is freed at the end; its code is compiled once. */
async function compress(createEncoder: CreateEncoder, frames: readonly Image[]): Promise<Compressed> {
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
async function demux(file: Uint8Array): Promise<Compressed> {
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
async function mux({ packets, config }: Compressed, fps: number): Promise<Uint8Array> {
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
    await track.add(new EncodedPacket(data, type, index / fps, 1 / fps), { decoderConfig: config });
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
