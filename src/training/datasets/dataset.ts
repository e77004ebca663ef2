/** @file What training asks of a set of labelled images: random access by index. */

/** One image and its class. */
export interface Sample {
  /** The image in [-1, 1], shape (C, H, W). */
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
  /** The class of image `index`. */
  label(index: number): number;
  /**
   * Image `index`; `undefined` if its file is corrupt.
   * @throws {DatasetError} if too many are.
   */
  read(index: number): Promise<Sample | undefined>;
}
