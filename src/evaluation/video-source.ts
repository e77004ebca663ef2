/** @file Clips of the videos in a folder: files at any depth, and folders of frames. */

import { dirname, extname, join, relative } from 'node:path';
import { DatasetError, FormatError } from '../errors.ts';
import { withChannels } from '../media/image.ts';
import { tensor } from '../tensor/tensor.ts';
import { filesBelow } from '../training/datasets/class-folders.ts';
import { IMAGE_EXTENSIONS } from '../training/datasets/image-folder.ts';
import { videoFrames } from '../training/datasets/videos/clip.ts';
import { VIDEO_EXTENSIONS } from '../training/datasets/videos/video-folder.ts';
import {
  type ClipProtocol,
  chosenVideos,
  clipSpan,
  clipStarts,
  statedProtocol,
  takesBeginnings,
  tooShort,
} from './clips.ts';
import { readAhead } from './read-ahead.ts';
import type { SampleSource } from './sample-source.ts';

/**
 * Videos below a folder, in the order of their names: video files, animated GIF and WebP; and folders that hold nothing
 * but images, of which each is one video.
 * @throws {DatasetError} if a folder cannot be read.
 */
export async function listVideos(path: string): Promise<string[]> {
  const root = join(path, '.');
  const files = await filesBelow(root, new Set([...VIDEO_EXTENSIONS, ...IMAGE_EXTENSIONS]));
  const folders = [...new Set(files.map(dirname))];
  const isVideo = (file: string): boolean => VIDEO_EXTENSIONS.has(extname(file).toLowerCase());
  const withVideos = new Set(files.filter(isVideo).map(dirname));
  const withFolders = new Set(folders.flatMap((folder) => foldersAbove(folder, root)));
  const isOfFrames = (folder: string): boolean => !withVideos.has(folder) && !withFolders.has(folder);
  const framesOf = (folder: string): string[] => (isOfFrames(folder) ? [folder] : []);
  return [...new Set(files.flatMap((file) => (isVideo(file) ? [file] : framesOf(dirname(file)))))];
}

/** The folders that a folder below `root` is in, but not those above `root`. */
function foldersAbove(folder: string, root: string): string[] {
  return folder === root ? [] : [dirname(folder), ...foldersAbove(dirname(folder), root)];
}

/**
 * The clips of a folder's videos, all frames of one size, in RGB.
 * @throws {DatasetError} if there are no videos; {FormatError} if the first cannot be read or is too short.
 * @throws {VideoDecoderError} if there is no decoder on this machine.
 */
export async function openVideoFolder(
  path: string,
  protocol: ClipProtocol,
  signal?: AbortSignal,
): Promise<SampleSource> {
  const files = await listVideos(path);
  if (files.length === 0) {
    throw new DatasetError(
      `${path}: holds no videos (${[...VIDEO_EXTENSIONS].join(', ')}, or folders of frames)`,
    );
  }
  const chosen = chosenVideos(files.length, protocol);
  const [first] = await readClips(files[chosen[0]], chosen[0], protocol, signal);
  const { height, width } = first;
  const read = async (i: number): Promise<Clip[]> => {
    const file = files[chosen[i]];
    const clips = await readClips(file, chosen[i], protocol, signal);
    if (clips[0].height === height && clips[0].width === width) return clips;
    throw new FormatError(
      `${file}: is ${clips[0].width} x ${clips[0].height} but ${relative(path, files[chosen[0]])} is ${width} x ${height}; ` +
        'all must be of one size',
    );
  };
  const { frames, clipsPerVideo } = protocol;
  const shape = [frames, height, width, 3];
  return {
    name: path,
    count: chosen.length * clipsPerVideo,
    shape,
    protocol: statedProtocol(protocol, chosen.length, [height, width]),
    async *batches(size) {
      const videos = Math.max(1, Math.floor(size / clipsPerVideo));
      for await (const clips of readAhead(chosen.length, videos, read)) {
        const flat = clips.flat();
        for (let start = 0; start < flat.length; start += size) {
          const some = flat.slice(start, start + size);
          const data = new Uint8Array(some.length * first.data.length);
          for (const [i, clip] of some.entries()) data.set(clip.data, i * clip.data.length);
          yield tensor('uint8', [some.length, ...shape], data);
        }
      }
    },
    async close() {},
  };
}

interface Clip {
  readonly height: number;
  readonly width: number;
  /** (frames, H, W, 3) */
  readonly data: Uint8Array;
}

/** All clips of a video, decoded once, or twice if its length must be known first. */
async function readClips(
  file: string,
  video: number,
  protocol: ClipProtocol,
  signal: AbortSignal | undefined,
): Promise<Clip[]> {
  const starts = takesBeginnings(protocol)
    ? [0]
    : clipStarts(file, await countFrames(file, signal), video, protocol);
  const { frames, stride } = protocol;
  const end = Math.max(...starts) + clipSpan(protocol);
  const clips: Clip[] = [];
  let seen = 0;
  for await (const frame of videoFrames(file, signal)) {
    const { width, height, data } = withChannels(frame, 3);
    for (const [i, start] of starts.entries()) {
      clips[i] ??= { width, height, data: new Uint8Array(frames * data.length) };
      const place = (seen - start) / stride;
      if (Number.isInteger(place) && place >= 0 && place < frames)
        clips[i].data.set(data, place * data.length);
    }
    seen++;
    if (seen === end) return clips;
  }
  throw tooShort(file, seen, protocol);
}

async function countFrames(file: string, signal: AbortSignal | undefined): Promise<number> {
  let count = 0;
  for await (const _ of videoFrames(file, signal)) count++;
  return count;
}
