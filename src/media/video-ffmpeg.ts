/**
 * @file Decoding by the ffmpeg that is installed, as a process of its own (Node only). File names never reach a shell
 * and are never taken for options, addresses or playlists.
 */

import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { uint8At } from '../at.ts';
import { FormatError, VideoDecoderError } from '../errors.ts';
import {
  blankImage,
  type Image,
  type ImageSize,
  MAXIMUM_PIXELS,
  type ReadImageOptions,
  requireModest,
} from './image.ts';

/** What the header of a video says. Width and height are in pixels, upright. */
export interface VideoInfo extends ImageSize {
  /** Frames per second, on average; undefined for folders and single images. */
  readonly fps: number | undefined;
  /** Frames in it, where the header says: MP4 and AVI usually do, WebM and Matroska do not. */
  readonly frames: number | undefined;
}

/** How frames are read. */
export interface ReadFramesOptions extends ReadImageOptions {
  /** Stops reading, and the decoder with it. */
  readonly signal?: AbortSignal | undefined;
}

/** A decoder that returns nothing for this long, when asked for a frame, is stuck. */
const SILENCE_MS = 60_000;
/** Characters of the decoder's messages that are kept. */
const MAX_STDERR_LENGTH = 8192;
/** The containers that may be opened: none that refers to other files or addresses, as playlists do. */
const CONTAINERS =
  'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,ogg,flv,asf,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ivf,nut,yuv4mpegpipe';

/** Local files only, even if the name looks like an address. */
const inputOf = (path: string): string[] => [
  ...['-protocol_whitelist', 'file,pipe', '-format_whitelist', CONTAINERS],
  ...['-i', `file:${resolve(path)}`],
];

/**
 * The frames of a video's first video stream in RGB, each coded frame once, upright, all of the first one's size.
 * @throws {FormatError} if there is no video in it that can be decoded; after the frames before it, where it is
 * damaged or cut short.
 * @throws {VideoDecoderError} if there is no ffmpeg.
 */
export async function* decodeFrames(
  path: string,
  { signal, maxPixels = MAXIMUM_PIXELS }: ReadFramesOptions = {},
): AsyncGenerator<Image> {
  // One thread, since datasets decode several files at once. ffmpeg's default conversion to RGB is off by 1 or 2 here
  // and there; its accurate one takes eight times as long.
  const decoder = start('ffmpeg', [
    ...['-nostdin', '-v', 'error', '-xerror', '-threads', '1'],
    ...['-max_pixels', String(maxPixels), ...inputOf(path), '-map', '0:V:0'],
    // Times that count frames: none is repeated or left out to keep a rate.
    ...['-vf', 'settb=1/25,setpts=N', '-r', '25'],
    ...['-f', 'image2pipe', '-c:v', 'ppm', '-pix_fmt', 'rgb24', 'pipe:1'],
  ]);
  let frames = 0;
  try {
    const output = waited(decoder.output, path, signal);
    for await (const image of ppmImages(output, (size) => requireModest(path, size, { maxPixels }))) {
      yield image;
      frames++;
    }
    const failed = (await decoder.exit) !== 0;
    if (failed || frames === 0) throw await explain(path, frames, decoder.stderr(), { signal, maxPixels });
  } finally {
    await decoder.stop();
  }
}

/**
 * What the header says of a video's first video stream.
 * @throws {FormatError} if there is none.
 * @throws {VideoDecoderError} if there is no ffprobe.
 */
export async function probeStream(path: string, signal?: AbortSignal) {
  const entries =
    'stream=codec_name,codec_tag_string,width,height,avg_frame_rate,r_frame_rate,nb_frames:stream_side_data=rotation';
  const options = ['-v', 'error', '-select_streams', 'V:0', '-show_entries', entries, '-of', 'json'];
  const prober = start('ffprobe', [...options, ...inputOf(path)]);
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of waited(prober.output, path, signal)) chunks.push(chunk);
    if ((await prober.exit) !== 0) {
      throw new FormatError(`${path}: no readable video (${firstError(prober.stderr(), path)})`);
    }
    const report: { streams?: ProbedStream[] } = JSON.parse(Buffer.concat(chunks).toString());
    const [stream] = report.streams ?? [];
    if (stream === undefined) throw new FormatError(`${path}: there is no video stream in it`);
    return streamInfo(stream);
  } finally {
    await prober.stop();
  }
}

/** The part of ffprobe's report on a stream that is used. */
interface ProbedStream {
  readonly codec_name?: string;
  readonly codec_tag_string?: string;
  readonly width?: number;
  readonly height?: number;
  readonly avg_frame_rate?: string;
  readonly r_frame_rate?: string;
  readonly nb_frames?: string;
  readonly side_data_list?: readonly { readonly rotation?: number }[];
}

function streamInfo(stream: ProbedStream): VideoInfo & { readonly codec: string } {
  const { codec_name, codec_tag_string, width = 0, height = 0, nb_frames, side_data_list = [] } = stream;
  const onItsSide = side_data_list.some(({ rotation = 0 }) => rotation % 180 !== 0);
  return {
    codec: codec_name && codec_name !== 'unknown' ? codec_name : (codec_tag_string ?? 'unknown'),
    width: onItsSide ? height : width,
    height: onItsSide ? width : height,
    fps: rate(stream.avg_frame_rate) ?? rate(stream.r_frame_rate),
    frames: Number(nb_frames) || undefined,
  };
}

/** A fraction such as `30000/1001`. */
function rate(text = ''): number | undefined {
  const [numerator = 0, denominator = 1] = text.split('/').map(Number);
  return numerator / denominator || undefined;
}

/** Why a video gave no more frames. */
async function explain(
  path: string,
  frames: number,
  stderr: string,
  { signal, maxPixels }: ReadFramesOptions,
): Promise<Error> {
  const reason = firstError(stderr, path);
  if (frames > 0) return new FormatError(`${path}: damaged or cut short after ${frames} frames (${reason})`);
  const { codec, ...size } = await probeStream(path, signal); // says so itself if there is no video at all
  requireModest(path, size, { maxPixels });
  if (/decoder.* not found|no decoder/i.test(stderr)) {
    return new FormatError(`${path}: this ffmpeg has no decoder for its codec, ${codec}`);
  }
  return new FormatError(`${path}: no frame of its ${codec} video can be decoded (${reason})`);
}

/** The first line of what the decoder said, without addresses in memory and the file's name. */
function firstError(stderr: string, path: string): string {
  const [line = ''] = stderr.split('\n').filter((text) => text.trim() !== '');
  if (line.includes('not on whitelist')) return 'a container or a playlist that is not read';
  const text = line.replace(/^(\[[^\]]* @ 0x[0-9a-f]+\]\s*)+/, '').replace(`file:${resolve(path)}: `, '');
  return text.trim() || 'the decoder gives no reason';
}

function start(name: 'ffmpeg' | 'ffprobe', args: readonly string[]) {
  const command = process.env[`${name.toUpperCase()}_PATH`] || name;
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, AV_LOG_FORCE_NOCOLOR: '1' },
    windowsHide: true,
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, MAX_STDERR_LENGTH);
  });
  const exit = new Promise<number | null>((settle, reject) => {
    child.on('close', settle);
    child.on('error', (cause) => reject(cannotStart(name, command, cause)));
  });
  exit.catch(() => {}); // it is waited for after the output
  return {
    output: child.stdout,
    /** Its exit code; rejected if it could not be started. */
    exit,
    /** What it has complained about so far. */
    stderr: () => stderr,
    /** Ends it if it still runs, and waits until it has. */
    async stop() {
      child.kill('SIGKILL');
      await exit.catch(() => {});
    },
  };
}

function cannotStart(name: string, command: string, cause: NodeJS.ErrnoException): VideoDecoderError {
  const what =
    cause.code === 'ENOENT'
      ? `reading videos needs ${name}, and ${command} is missing`
      : `${command} does not start (${cause.message})`;
  return new VideoDecoderError(
    `${what}; install ffmpeg (apt-get install ffmpeg, brew install ffmpeg, winget install ffmpeg), or name its ` +
      `programs in FFMPEG_PATH and FFPROBE_PATH; GIF, WebP and folders of images need none`,
    { cause },
  );
}

/** A tool's output, given up when the signal says so or nothing comes for too long. */
async function* waited(
  output: Readable,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const abort = (): void => void output.destroy(signal?.reason);
  signal?.addEventListener('abort', abort);
  const chunks = output[Symbol.asyncIterator]();
  try {
    for (;;) {
      const stuck = (): void =>
        void output.destroy(new FormatError(`${path}: its decoder gave nothing for ${SILENCE_MS / 1000} s`));
      const timer = setTimeout(stuck, SILENCE_MS);
      const { value, done } = await chunks.next().finally(() => clearTimeout(timer));
      if (done) break;
      yield value;
    }
    signal?.throwIfAborted();
  } finally {
    signal?.removeEventListener('abort', abort);
    output.destroy();
  }
}

/** A stream of binary PPM images (`P6`, RGB of 8 bits), as images. Source: ppm(5) of Netpbm. */
async function* ppmImages(
  chunks: AsyncIterable<Uint8Array>,
  checkSize: (size: ImageSize) => void,
): AsyncGenerator<Image> {
  let header = '';
  let image: Image | undefined;
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      if (image === undefined) {
        header += String.fromCharCode(uint8At(chunk, at++));
        const size = /^P6\s(\d+)\s(\d+)\s255\s$/.exec(header);
        if (size) {
          const [width = 0, height = 0] = size.slice(1).map(Number);
          checkSize({ width, height });
          image = blankImage(width, height, 3);
          [header, filled] = ['', 0];
        } else if (header.length > 64)
          throw new VideoDecoderError('ffmpeg wrote something that is not a PPM image');
        continue;
      }
      const part = chunk.subarray(at, at + image.data.length - filled);
      image.data.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === image.data.length) {
        yield image;
        image = undefined;
      }
    }
  }
}
