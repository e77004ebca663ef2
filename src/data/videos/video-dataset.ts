/** @file Video files as a dataset of clips: each time a video is read, its clip begins at another random place. */

import { at } from '../../at.ts';
import { FormatError } from '../../errors.ts';
import { type ClassFiles, fingerprintOf } from '../class-folders.ts';
import { CorruptFiles, type CorruptFilesOptions } from '../corrupt-files.ts';
import type { VideoDataset } from '../dataset.ts';
import { CorruptVideo } from '../dataset.ts';
import { type ClipFormat, clipValues, cropFrame, videoFrames } from './clip.ts';
import { type ClipReader, processClipReader } from './clip-reader.ts';

export interface VideoDatasetOptions extends CorruptFilesOptions, ClipFormat {
  /** Default: one in a process of its own. */
  readonly clipReader?: ClipReader | undefined;
  /** Max pixels of a frame. A video with larger ones counts as corrupt. */
  readonly maxPixels?: number | undefined;
}

/** @param root what the dataset is called, and what its files are below. */
export function videoDataset(
  root: string,
  { files, classNames, ignoredFiles }: ClassFiles,
  options: VideoDatasetOptions,
): VideoDataset {
  const { frames, interval, size, channels, maxPixels, clipReader = processClipReader() } = options;
  const corrupt = new CorruptFiles(root, files.length, 'videos', options);
  const lengths = new Map<number, number>();
  const mark = (index: number, error: unknown): void => {
    if (!(error instanceof FormatError)) throw error; // no file is to blame
    corrupt.mark(index, at(files, index).path, error);
  };
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
    async read(index, generator) {
      // Drawn for corrupt ones too, so that what follows does not depend on which are known to be.
      const place = at(generator.rand(1), 0);
      if (corrupt.has(index)) return undefined;
      const { path, label } = at(files, index);
      try {
        const length = lengths.get(index);
        const clip = await clipReader.read({
          path,
          frames,
          interval,
          size,
          channels,
          place,
          length,
          maxPixels,
        });
        lengths.set(index, clip.length);
        corrupt.markGood(index);
        return { values: clipValues(clip.data, options), label };
      } catch (error) {
        mark(index, error);
        return undefined;
      }
    },
    record(index) {
      const { path, label } = at(files, index);
      return { label, frames: wholeVideo(path, options, (error) => mark(index, error)) };
    },
    close: () => clipReader.close(),
  };
}

/** All frames; a video that turns out corrupt is told to `mark`. */
async function* wholeVideo(
  path: string,
  format: ClipFormat & Pick<VideoDatasetOptions, 'maxPixels'>,
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
