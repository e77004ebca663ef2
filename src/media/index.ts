/** @file Images in memory and in files: pixels to and from samples, resizing, grids, text, PNG. */

export {
  blankImage,
  type Channels,
  encodePng,
  enlarge,
  type GridOptions,
  grid,
  type Image,
  imageFromSamples,
  paste,
  readImage,
  samplesFromImage,
  withChannels,
  writePng,
} from './image.ts';
export { centerCrop, crop, resize } from './resize.ts';
export { labelRows, type TextOptions, textImage } from './text.ts';
