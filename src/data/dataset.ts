/** @file What training asks of a set of labelled images or clips: random access by index. */

import type { LatentOrigin } from '../models/acdit/config.ts';
import type { Generator } from '../tensor/generator.ts';
import type { IgnoredFiles } from './folder-files.ts';

/** One image or clip, and its class. */
export interface Sample {
  /** In [-1, 1], or scaled latents; shape (frames, C, H, W). */
  readonly values: Float32Array;
  /** 0 to the number of classes - 1. */
  readonly label: number;
}

/** Frames (1 for images), channels, height and width. */
export type SampleShape = readonly [frames: number, channels: number, height: number, width: number];

/** Labelled images or clips that can be read in any order, again and again, and several at once. */
export interface Dataset {
  /** For messages: usually the folder. */
  readonly name: string;
  /** Number of samples, the corrupt ones included. */
  readonly size: number;
  /** The shape of every sample. */
  readonly sampleShape: SampleShape;
  /** One name a label. */
  readonly classNames: readonly string[];
  /** Samples found corrupt so far. */
  readonly corruptCount: number;
  /** Ignored files in its folders, to be reported once. */
  readonly ignoredFiles?: IgnoredFiles | undefined;
  /** Samples are latents of this autoencoder. Absent: they are pixels. */
  readonly autoencoder?: LatentOrigin & { readonly downsampling: number };
  /**
   * Sample `index`; `undefined` if its file is corrupt.
   * @param generator decides where a sample is random, as latents and the beginnings of clips are.
   * @throws {DatasetError} if too many are corrupt.
   */
  read(index: number, generator: Generator): Promise<Sample | undefined>;
  /** Changes when samples are added, removed, renamed or of another length. */
  fingerprint?(): Promise<string>;
  /** Number of samples that are held out from training, if some are; this dataset is one of the two parts. */
  readonly heldOut?: number;
  /**
   * Identifies a sample independently of the others and of its place, to hold out some. Samples that must not be
   * divided, such as parts of one recording, have the same key.
   */
  key?(index: number): string;
  /** Returns a sample's label without reading the sample, if that is known. */
  label?(index: number): number;
  /** Close what it holds open. */
  close?(): Promise<void>;
}

/** A file that cannot be read to its end, which its dataset has counted as corrupt. */
export class CorruptVideo extends Error {
  override name = 'CorruptVideo';
}

/** All frames of a video, and its class. */
export interface Recording {
  readonly label: number;
  /** (C, H, W) each, in [-1, 1], in order; throws `CorruptVideo` where the file cannot be read any further. */
  readonly frames: AsyncIterable<Float32Array> | Iterable<Float32Array>;
}

/** A dataset of videos themselves. */
export interface VideoDataset extends Dataset {
  /** The whole video `index`, which nothing is random about. */
  record(index: number): Recording;
  /** Changes when videos are added, removed, renamed or of another length. */
  fingerprint(): Promise<string>;
}

/** A dataset of images themselves. */
export interface ImageDataset extends Dataset {
  /** The image `index`, without random changes. */
  read(index: number): Promise<Sample | undefined>;
  /** Changes when images are added, removed, renamed or of another length. */
  fingerprint(): Promise<string>;
}
