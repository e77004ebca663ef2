/** @file What training asks of a set of labelled images: random access by index. */

import type { LatentOrigin } from '../../models/acdit/config.ts';
import type { Generator } from '../../tensor/generator.ts';

/** One image and its class. */
export interface Sample {
  /** The image in [-1, 1], or its scaled latents; shape (C, H, W). */
  readonly values: Float32Array;
  /** 0 to the number of classes - 1. */
  readonly label: number;
}

/** Channels, height and width. */
export type ImageShape = readonly [channels: number, height: number, width: number];

/** Labelled images that can be read in any order, again and again, and several at once. */
export interface Dataset {
  /** For messages: usually the folder. */
  readonly name: string;
  /** Number of images, the corrupt ones included. */
  readonly size: number;
  /** The shape of every sample. */
  readonly imageShape: ImageShape;
  /** One name a label. */
  readonly classNames: readonly string[];
  /** Images found corrupt so far. */
  readonly corruptCount: number;
  /** Samples are latents of this autoencoder. Absent: they are pixels. */
  readonly autoencoder?: LatentOrigin & { readonly downsampling: number };
  /**
   * Image `index`; `undefined` if its file is corrupt.
   * @param generator decides where a sample is random, as latents are.
   * @throws {DatasetError} if too many are corrupt.
   */
  read(index: number, generator: Generator): Promise<Sample | undefined>;
  /** Close what it holds open. */
  close?(): Promise<void>;
}

/** A dataset of pictures themselves. */
export interface ImageDataset extends Dataset {
  /** The picture `index`, which nothing is random about. */
  read(index: number): Promise<Sample | undefined>;
  /** Changes when images are added, removed, renamed or of another length. */
  fingerprint(): Promise<string>;
}
