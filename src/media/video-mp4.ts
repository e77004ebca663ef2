/**
 * @file MP4 with H.264 on any machine, with nothing installed: h264-mp4-encoder (minih264 in WebAssembly) compresses,
 * mediabunny puts the file together. Both are loaded on first use.
 */

import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import type { EncodedPacket } from 'mediabunny';
import { AcditError } from '../errors.ts';
import type { Image } from './image.ts';
import type { VideoEncoder } from './video-encoder.ts';
import { yuv420 } from './video-yuv.ts';

/**
 * Quantization of the encoder, from 10 (best) to 51. With 14, luma is off by less than 1 in 255 on average, as small
 * pictures need; the clips of these models stay small all the same.
 */
const QUANTIZATION = 14;
/** 0 is the slowest; 5 is several times faster, with the same quality and size. */
const SPEED = 5;
/** Frames from one that can be decoded alone to the next. */
const KEY_FRAMES = 48;

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
export function mp4Encoder(fps: number): VideoEncoder {
  const packets: EncodedPacket[] = [];
  let config: VideoDecoderConfig | undefined;
  return {
    async add(frames) {
      const added = await compress(frames, fps);
      config ??= { ...added.config, colorSpace };
      packets.push(...added.packets);
    },
    async file() {
      return config === undefined ? [] : [await mux({ packets, config }, fps)];
    },
  };
}

/** Compress frames by an encoder of their own. Its memory is freed at the end; its code is compiled once. */
async function compress(frames: readonly Image[], fps: number): Promise<Compressed> {
  const encoder = await createEncoder();
  encoder.outputFilename = `${randomUUID()}.mp4`; // all encoders share one file system, in memory
  try {
    for (const [index, frame] of frames.entries()) {
      const { width, height, data } = yuv420(frame);
      if (index === 0) {
        const settings = { width, height, frameRate: fps, speed: SPEED };
        Object.assign(encoder, settings, {
          quantizationParameter: QUANTIZATION,
          groupOfPictures: KEY_FRAMES,
        });
        encoder.initialize();
      }
      encoder.addFrameYuv(data);
      await setImmediate(); // let signals and progress through
    }
    encoder.finalize();
    return await demux(encoder.FS.readFile(encoder.outputFilename));
  } finally {
    encoder.FS.unlink(encoder.outputFilename);
    encoder.delete();
  }
}

/** Emscripten's code listens for uncaught errors of the whole process, and ends it in its own way: not here. */
async function createEncoder() {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => new Set<unknown>(process.listeners(event as 'exit')));
  const require = createRequire(import.meta.url); // a CommonJS bundle, whose names `import` does not see
  const { createH264MP4Encoder } = require('h264-mp4-encoder') as typeof import('h264-mp4-encoder');
  const encoder = await createH264MP4Encoder();
  events.forEach((event, i) => {
    for (const listener of process.listeners(event as 'exit')) {
      if (!before[i].has(listener)) process.removeListener(event, listener);
    }
  });
  return encoder;
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
  for (const [index, { data, type }] of packets.entries()) {
    await track.add(new EncodedPacket(data, type, index / fps, 1 / fps), { decoderConfig: config });
  }
  await output.finalize();
  return new Uint8Array(target.buffer!);
}
