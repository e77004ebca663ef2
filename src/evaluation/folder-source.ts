/** @file Images in a folder, at any depth, and clips of the videos in one: files, and folders of frames. */

import { dirname, join, relative } from 'node:path';
import { at } from '../at.ts';
import { fingerprintOf } from '../data/class-folders.ts';
import { type FolderFiles, filesBelow, ignoredFiles } from '../data/folder-files.ts';
import { countFrames, videoFrames } from '../data/videos/clip.ts';
import { DatasetError, FormatError } from '../errors.ts';
import { IMAGE_EXTENSIONS, usualExtension, VIDEO_EXTENSIONS } from '../media/file-formats.ts';
import { type Image, type ImageSize, MAXIMUM_PIXELS, openImage, withChannels } from '../media/image.ts';
import { centerCrop, shortSideCrop } from '../media/resize.ts';
import {
  type ClipProtocol,
  chosenVideos,
  clipSpan,
  clipStarts,
  statedProtocol,
  takesBeginnings,
  tooShort,
} from './clips.ts';
import {
  batchesOf,
  batchOf,
  modestBatch,
  modestBatches,
  readAhead,
  type SampleSource,
} from './sample-source.ts';

/** Options for reading a folder of images or videos. */
export interface ImageFolderOptions {
  /** Max pixels of an image, or of all frames of a clip together (default: 100 million). */
  readonly maxPixels?: number | undefined;
  /**
   * Side of the square that images and frames of folders are cropped to, as in training. By default, they are not cropped
   * and must have one size.
   */
  readonly size?: number | undefined;
}

/**
 * The images of a folder and of those in it, in the order of their names, with their pixels as they are stored; grey ones
 * among coloured ones become RGB.
 * @throws {DatasetError} if there are none; {FormatError} if the first cannot be read.
 * Reading throws {FormatError} for an image of another size, unless `size` makes one of all.
 */
export async function openImageFolder(path: string, options: ImageFolderOptions = {}): Promise<SampleSource> {
  const { files, others } = await filesBelow(path, IMAGE_EXTENSIONS);
  if (files.length === 0) {
    throw new DatasetError(`${path}: holds no images (${[...IMAGE_EXTENSIONS].join(', ')})`);
  }
  const { size: side } = options;
  const { width, height } =
    side === undefined ? await openImage(at(files, 0), options) : { width: side, height: side };
  const read = async (file: string): Promise<Image> => {
    const image = await openImage(file, options);
    if (side !== undefined) return centerCrop(withChannels(await image.decode(), 3), side);
    if (image.width === width && image.height === height) return withChannels(await image.decode(), 3);
    throw otherSize(file, image, relative(path, at(files, 0)), { width, height });
  };
  const shape = [height, width, 3];
  return {
    name: path,
    count: files.length,
    shape,
    ignoredFiles: ignoredFiles(others),
    ...batchesOf({
      count: (size) => modestBatches(files.length, size, shape),
      async *read(size, isOwn) {
        const readAt = (i: number): Promise<Image> => read(at(files, i));
        for await (const images of readAhead(files.length, modestBatch(size, shape), readAt, isOwn)) {
          yield batchOf(shape, images);
        }
      },
      fingerprint: () => unlabelledFingerprint(path, files),
    }),
    async close() {},
  };
}

function unlabelledFingerprint(root: string, files: readonly string[]): Promise<string> {
  return fingerprintOf(
    root,
    files.map((path) => ({ path, label: 0 })),
  );
}

function otherSize(file: string, size: ImageSize, example: string, expected: ImageSize): FormatError {
  return new FormatError(
    `${file}: is ${size.width} x ${size.height} but ${example} is ${expected.width} x ${expected.height}; all must be ` +
      'of one size. Crop each to a square of N pixels, as training does, with --size N of acdit evaluate, or resize the ' +
      'files first',
  );
}

/** Options for reading videos. */
export interface VideoFolderOptions extends ImageFolderOptions {
  readonly protocol: ClipProtocol;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Videos below a folder, in the order of their names: video files, animated GIF and WebP; and folders that hold nothing
 * but images, of which each is one video. Other files, and images next to videos, are ignored.
 * @throws {DatasetError} if a folder cannot be read.
 */
export async function listVideos(path: string): Promise<FolderFiles> {
  const root = join(path, '.');
  const { files, others } = await filesBelow(root, new Set([...VIDEO_EXTENSIONS, ...IMAGE_EXTENSIONS]));
  const folders = [...new Set(files.map(dirname))];
  const videos = new Set<string>();
  for (const file of files) if (VIDEO_EXTENSIONS.has(await usualExtension(file))) videos.add(file);
  const withVideos = new Set([...videos].map(dirname));
  const withFolders = new Set(folders.flatMap((folder) => foldersAbove(folder, root)));
  const isOfFrames = (folder: string): boolean => !withVideos.has(folder) && !withFolders.has(folder);
  const found = new Set<string>();
  const ignored = [...others];
  for (const file of files) {
    if (videos.has(file)) found.add(file);
    else if (isOfFrames(dirname(file))) found.add(dirname(file));
    else ignored.push({ path: file, kind: 'file' });
  }
  return { files: [...found], others: ignored };
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
export async function openVideoFolder(path: string, options: VideoFolderOptions): Promise<SampleSource> {
  const { protocol } = options;
  const { files, others } = await listVideos(path);
  if (files.length === 0) {
    throw new DatasetError(
      `${path}: holds no videos (${[...VIDEO_EXTENSIONS].join(', ')}, or folders of frames)`,
    );
  }
  const videos = chosenVideos(files.length, protocol).map((index) => ({ index, file: at(files, index) }));
  const example = at(videos, 0);
  const { height, width } = at(await readClips(example.file, example.index, options), 0);
  const read = async (i: number): Promise<Clip[]> => {
    const { index, file } = at(videos, i);
    const clips = await readClips(file, index, options);
    const clip = at(clips, 0);
    if (clip.height === height && clip.width === width) return clips;
    throw otherSize(file, clip, relative(path, example.file), { width, height });
  };
  const { frames, clipsPerVideo } = protocol;
  const shape = [frames, height, width, 3];
  /** Videos are read in groups that make a batch, or several if a video alone has more clips. */
  const groupsOf = (most: number) => {
    const size = modestBatch(most, shape);
    const atOnce = Math.max(1, Math.floor(size / clipsPerVideo));
    const batches = Math.ceil((atOnce * clipsPerVideo) / size);
    return { size, videos: atOnce, batches, count: Math.ceil(videos.length / atOnce) };
  };
  return {
    name: path,
    count: videos.length * clipsPerVideo,
    shape,
    ignoredFiles: ignoredFiles(others),
    protocol: statedProtocol(protocol, videos.length, [height, width]),
    ...batchesOf({
      count: (most) => groupsOf(most).count * groupsOf(most).batches,
      async *read(most, isOwn) {
        const { size, videos: atOnce, batches, count } = groupsOf(most);
        const own = (group: number): number[] =>
          Array.from({ length: batches }, (_, i) => i).filter((i) => isOwn(group * batches + i));
        const isWanted = (group: number): boolean => own(group).length > 0;
        const groups = Array.from({ length: count }, (_, group) => group).filter(isWanted);
        for await (const clips of readAhead(videos.length, atOnce, read, isWanted)) {
          const flat = clips.flat();
          for (const i of own(groups.shift()!)) yield batchOf(shape, flat.slice(i * size, (i + 1) * size));
        }
      },
      fingerprint: () =>
        unlabelledFingerprint(
          path,
          videos.map(({ file }) => file),
        ),
    }),
    async close() {},
  };
}

interface Clip extends ImageSize {
  /** (frames, H, W, 3) */
  readonly data: Uint8Array;
}

/** All clips of a video, decoded once, or twice if its length must be known first. */
async function readClips(file: string, video: number, options: VideoFolderOptions): Promise<Clip[]> {
  const { protocol, signal, maxPixels, size } = options;
  const starts = takesBeginnings(protocol)
    ? [0]
    : clipStarts(file, await countFrames(file, { signal, maxPixels }), video, protocol);
  const { frames, stride } = protocol;
  const end = Math.max(...starts) + clipSpan(protocol);
  const clips: Clip[] = [];
  let seen = 0;
  for await (const frame of videoFrames(file, { signal, maxPixels })) {
    const rgb = withChannels(frame, 3);
    const { width, height, data } = size === undefined ? rgb : shortSideCrop(rgb, size);
    if (seen === 0) requireModestClip(file, { width, height }, options);
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

/** @throws {FormatError} if the clips of a video have too many pixels to be held in memory together. */
function requireModestClip(
  file: string,
  { width, height }: ImageSize,
  { protocol: { frames, clipsPerVideo }, maxPixels = MAXIMUM_PIXELS }: VideoFolderOptions,
): void {
  if (width * height * frames * clipsPerVideo <= maxPixels) return;
  const clips = clipsPerVideo === 1 ? 'a clip' : `${clipsPerVideo} clips`;
  throw new FormatError(
    `${file}: ${clips} of ${frames} frames of ${width} x ${height} pixels is more than the limit of ${maxPixels} ` +
      'pixels; make the videos smaller, or raise the limit with --max-pixels',
  );
}
