/** @file Video files as a dataset of clips: each time a video is read, its clip begins at another random place. */

import { at } from '../../at.ts';
import { FormatError } from '../../errors.ts';
import { VIDEO_EXTENSIONS } from '../../media/file-formats.ts';
import { fileKey, fingerprintOf, type LabelledFile, listClassFiles } from '../class-folders.ts';
import { CorruptFiles } from '../corrupt-files.ts';
import { CorruptVideo, type Sample, type VideoDataset } from '../dataset.ts';
import type { DatasetOptions } from '../kinds.ts';
import { type ClipFormat, clipValues, cropFrame, videoFrames } from './clip.ts';
import { processClipReader } from './clip-reader.ts';

export interface VideoDatasetOptions
  extends ClipFormat,
    Omit<DatasetOptions, 'path' | 'frames' | 'channels'> {}

/** The end of a video's name in UCF-101, whose groups (`g01`) are parts of one recording. */
const UCF_CLIP = /(?<=_g\d+)_c\d+\.\w+$/;

/**
 * List the videos of a folder of class folders. Classes are the folders in order of their names.
 * @throws {DatasetError} if there are no class folders, one has no video, or the folder cannot be read.
 */
export async function openVideoFolder(path: string, options: VideoDatasetOptions): Promise<VideoDataset> {
  const files = await listClassFiles(path, VIDEO_EXTENSIONS, 'videos', options.classNames);
  return videoDataset(path, files, options);
}

/** @param root what the dataset is called, and what its files are below. */
export function videoDataset(
  root: string,
  {
    files,
    classNames,
    ignoredFiles,
  }: Pick<VideoDataset, 'classNames' | 'ignoredFiles'> & { readonly files: readonly LabelledFile[] },
  options: VideoDatasetOptions,
): VideoDataset {
  const { frames, interval, size, channels, maxPixels, clipReader = processClipReader() } = options;
  const format: ClipFormat = { frames, interval, size, channels };
  const corrupt = new CorruptFiles(root, files.length, 'videos', options);
  const lengths = new Map<number, number>();
  const isOfFile = (error: unknown): error is FormatError => error instanceof FormatError;
  return {
    name: root,
    size: files.length,
    sampleShape: [frames, channels, size, size],
    classNames,
    get corruptCount() {
      return corrupt.count;
    },
    ignoredFiles,
    fingerprint: () => fingerprintOf(root, files),
    label: (index) => at(files, index).label,
    key: (index) => fileKey(root, at(files, index), classNames).replace(UCF_CLIP, ''),
    async read(index, generator) {
      // Drawn for corrupt ones too, so that what follows does not depend on which are known to be.
      const place = at(generator.rand(1), 0);
      const { path, label } = at(files, index);
      const readSample = async (): Promise<Sample> => {
        const clip = await clipReader.read({ ...format, path, place, length: lengths.get(index), maxPixels });
        lengths.set(index, clip.length);
        return { values: clipValues(clip.data, format), label };
      };
      return corrupt.attempt(index, path, readSample, isOfFile);
    },
    record(index) {
      const { path, label } = at(files, index);
      const mark = (error: unknown): void => {
        if (!isOfFile(error)) throw error;
        corrupt.mark(index, path, error);
      };
      return { label, frames: wholeVideo(path, options, mark) };
    },
    close: () => clipReader.close(),
  };
}

/** All frames; a video that turns out corrupt is reported to `mark`. */
async function* wholeVideo(
  path: string,
  format: VideoDatasetOptions,
  mark: (error: unknown) => void,
): AsyncGenerator<Float32Array> {
  const frames = videoFrames(path, { maxPixels: format.maxPixels });
  try {
    while (true) {
      const { value, done } = await frames.next().catch((error) => {
        mark(error);
        throw new CorruptVideo(path, { cause: error });
      });
      if (done) return;
      yield clipValues(cropFrame(value, format).data, format);
    }
  } finally {
    await frames.return(undefined);
  }
}
