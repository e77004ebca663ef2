/** @file Data: datasets of images and videos, batches of them, and datasets encoded to latents. */

export type { Augmentation } from './augment.ts';
export { type Batch, type BatchOptions, batches } from './batches.ts';
export type {
  Dataset,
  ImageDataset,
  Recording,
  Sample,
  SampleShape,
  VideoDataset,
} from './dataset.ts';
export type { IgnoredFiles, SpecialKind } from './folder-files.ts';
export type { HoldOutOptions } from './hold-out.ts';
export type { ClipOptions, DatasetKind, DatasetOptions, Split } from './kinds.ts';
export { type EncodeHooks, type EncodeOptions, type EncodeStart, encodeLatents } from './latents/encode.ts';
export type { EncodeSource } from './latents/encode-samples.ts';
export type { LatentsIndex } from './latents/index-file.ts';
export { type LatentsOptions, openLatents } from './latents/latents-dataset.ts';
export { type MovingItemsOptions, movingItems } from './moving-items.ts';
export { openDataset, openImages, openVideos } from './open.ts';
export type { Clip, ClipFormat, ClipRequest } from './videos/clip.ts';
export type { ClipReader } from './videos/clip-reader.ts';
