/** @file Images in memory and in files: pixels to and from samples, resizing, grids, text, PNG; videos in files. */

export {
  blankImage,
  type Channels,
  encodePng,
  enlarge,
  type GridOptions,
  grid,
  type Image,
  imageFromSamples,
  MAXIMUM_PIXELS,
  paste,
  type ReadImageOptions,
  readImage,
  samplesFromImage,
  withChannels,
  writePng,
} from './image.ts';
export { centerCrop, crop, resize, shortSideCrop } from './resize.ts';
export { labelRows, type TextOptions, textImage } from './text.ts';
export type { ReadFramesOptions, VideoInfo } from './video-ffmpeg.ts';
export { probeVideo, readFrames } from './video-reader.ts';
export {
  openVideoWriter,
  VIDEO_FORMATS,
  type VideoFormat,
  type VideoOptions,
  type VideoWriter,
  videoFormat,
} from './video-writer.ts';
