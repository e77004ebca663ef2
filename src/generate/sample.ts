/** @file Finished and growing samples: images and videos that can be saved. */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { type OptionNames, requireKnownOptions } from '../invalid-option.ts';
import { printable } from '../io/printable.ts';
import type { Image } from '../media/pixels.ts';
import type { PerBlock } from '../sampling/settings.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Formats of images, their default first, and of videos. */
export const FILE_FORMATS = {
  image: ['png', 'webp', 'jpeg'],
  video: ['mp4', 'webp', 'gif'],
} as const;

/** A format of an image or a video. */
export type FileFormat = (typeof FILE_FORMATS)['image' | 'video'][number];

/** How files are written. */
export interface FileOptions {
  /** Frames per second of a video (default: 4). */
  readonly fps?: number | undefined;
}

const FILE_OPTIONS: OptionNames<FileOptions> = { fps: true };

/** The frames of a sample, and the format of its file. */
export interface FileContent {
  readonly kind: 'image' | 'video';
  readonly frames: readonly Image[];
  readonly fps: number;
}

/** Writes samples, on Node or in a browser. */
export interface SampleFiles {
  encode(content: FileContent, format: FileFormat): Promise<Uint8Array<ArrayBuffer>>;
  save(content: FileContent, path: string): Promise<void>;
}

/** What a sample consists of. */
export interface SampleParts
  extends Pick<
    GeneratedSample,
    'kind' | 'label' | 'name' | 'seed' | 'number' | 'frames' | 'latents' | 'finished'
  > {
  readonly files: SampleFiles;
}

const DEFAULT_FPS = 4;

/** An image or a video that a model made, or is making. */
export class GeneratedSample {
  readonly kind: 'image' | 'video';
  /** The number of its class, or of each block's; the number of classes stands for "no class". */
  readonly label: PerBlock;
  /** The name of its class; of several, with slashes between them. */
  readonly name: string;
  /** The same seed, label and number give the same sample. */
  readonly seed: number;
  /** Its number in its call, from 0 on. */
  readonly number: number;
  /** Pixels, frame by frame; an image has one frame. A video in progress has the frames so far. */
  readonly frames: readonly Image[];
  /** Blocks (1, T, B, C) as the network made them; 0 where a sample in progress has none yet. */
  readonly latents: Tensor<'float32'>;
  /** False while it is being made. */
  readonly finished: boolean;
  readonly #files: SampleFiles;

  constructor({ kind, label, name, seed, number, frames, latents, finished, files }: SampleParts) {
    this.kind = kind;
    this.label = label;
    this.name = name;
    this.seed = seed;
    this.number = number;
    this.frames = frames;
    this.latents = latents;
    this.finished = finished;
    this.#files = files;
  }

  /** In pixels. */
  get width(): number {
    return at(this.frames, 0).width;
  }

  /** In pixels. */
  get height(): number {
    return at(this.frames, 0).height;
  }

  /**
   * Writes a file, replacing one that exists as a whole or not at all, and making its folder if need be. In a page, the
   * browser downloads it. Small videos are enlarged by a whole number, so that they can be seen.
   * @param path its extension sets the format: .png, .webp or .jpg; for videos .mp4, .webp or .gif. On Node, a video's path
   * without an extension is a folder of PNG frames
   * @throws {ArgumentError} if the extension is of another format
   * @throws {AcditError} if the file cannot be written
   */
  async save(path: string, options: FileOptions = {}): Promise<void> {
    return this.#files.save(this.#content(options), path);
  }

  /**
   * Returns the bytes of a file.
   * @param format default: png, for videos mp4
   * @throws {ArgumentError} if samples of this kind have no such format
   */
  async toBuffer(format?: FileFormat, options: FileOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    return this.#files.encode(this.#content(options), requireFormat(this.kind, format));
  }

  /** Returns a file as a Blob, with its media type. See {@link toBuffer}. */
  async toBlob(format?: FileFormat, options: FileOptions = {}): Promise<Blob> {
    const chosen = requireFormat(this.kind, format);
    return new Blob([await this.toBuffer(chosen, options)], { type: mediaType(this.kind, chosen) });
  }

  /** Node prints a line instead of all pixels. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const length = this.kind === 'video' ? ` x ${this.frames.length} frames` : '';
    const state = this.finished ? '' : ', in progress';
    return `GeneratedSample(${this.kind} of '${this.name}', ${this.width} x ${this.height}${length}, seed ${this.seed}${state})`;
  }

  #content(options: FileOptions): FileContent {
    requireKnownOptions(options, FILE_OPTIONS);
    const { fps = DEFAULT_FPS } = options;
    return { kind: this.kind, frames: this.frames, fps };
  }
}

/** Returns the media type of a file. */
export function mediaType(kind: GeneratedSample['kind'], format: FileFormat): string {
  return kind === 'video' && format === 'mp4' ? 'video/mp4' : `image/${format}`;
}

/** Returns the format that a path's extension names. @throws {ArgumentError} if samples of this kind have no such format. */
export function formatOfPath(kind: GeneratedSample['kind'], path: string): FileFormat {
  const extension = /\.([^./\\]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const format = FILE_FORMATS[kind].find((name) => name === (extension === 'jpg' ? 'jpeg' : extension));
  if (format) return format;
  throw new ArgumentError(
    `${printable(path)}: ${kind === 'image' ? 'an image' : 'a video'} is saved as ${listed(kind, '.')}; give the file such an ending`,
  );
}

function requireFormat(kind: GeneratedSample['kind'], format: string | undefined): FileFormat {
  const known = FILE_FORMATS[kind].find((name) => name === (format ?? FILE_FORMATS[kind][0]));
  if (known) return known;
  throw new ArgumentError(`the format of ${kind}s is ${listed(kind, '')}, got '${printable(format)}'`);
}

function listed(kind: GeneratedSample['kind'], prefix: string): string {
  return FILE_FORMATS[kind]
    .map((name) => (prefix === '.' && name === 'jpeg' ? '.jpg' : prefix + name))
    .join(', ')
    .replace(/, ([^,]+)$/, ' or $1');
}
