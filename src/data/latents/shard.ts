/**
 * @file One shard of a set of latents, a checksummed safetensors file: `moments` (F, 2C, h, w), which are means and then log
 * variances, the same of mirrored images as `moments_flipped`, and `labels` (N). Of images F is N; of videos F is all
 * their frames, and `frames` (N) says how many each has. A sample's moments are one range, checked as it is read.
 */

import { at } from '../../at.ts';
import { FormatError } from '../../errors.ts';
import {
  openChecksummedSafetensors,
  writeChecksummedSafetensors,
} from '../../formats/checksummed-safetensors.ts';
import type { SafetensorsArchive } from '../../formats/safetensors.ts';
import { closingOnError } from '../../io/byte-source.ts';
import { openFile } from '../../io/file-source.ts';
import { printable } from '../../io/printable.ts';
import { joinArrays } from '../../tensor/axes.ts';
import { float32ToFloat16, toFloat32 } from '../../tensor/convert.ts';
import { bytesPerElement, elementCount, type Tensor, tensor } from '../../tensor/tensor.ts';
import {
  EARLIER_VERSION,
  type LatentsIndex,
  type LatentsSettings,
  shardFile,
  shardFrames,
  shardNumber,
} from './index-file.ts';

const MOMENTS = 'moments';
const FLIPPED = 'moments_flipped';
const LABELS = 'labels';
const FRAMES = 'frames';
/** Frames whose moments are checked together. */
const ROWS_AT_ONCE = 64;

/** Shape of the moments of one image or frame. */
function momentsShape({ latentShape: [channels, height, width] }: LatentsSettings) {
  return [2 * channels, height, width] as const;
}

/** What the values of one image or frame take, in bytes. */
export function frameBytes({ latentShape, dtype, flips }: LatentsSettings): number {
  return 2 * elementCount(latentShape) * bytesPerElement(dtype) * (flips ? 2 : 1);
}

/** Moments of one image or frame, (2C, h, w) each; `flipped` of its mirror image. */
export interface EncodedFrame {
  readonly moments: Float32Array;
  readonly flipped: Float32Array | undefined;
}

/** An encoded image, which is one frame, or video. */
export interface EncodedSample {
  readonly frames: readonly EncodedFrame[];
  readonly label: number;
}

/** Frames of all samples. */
export function frameCount(samples: readonly EncodedSample[]): number {
  return samples.reduce((sum, { frames }) => sum + frames.length, 0);
}

/** Write a shard as a whole. @throws {AcditError} if it cannot be written. */
export async function writeShard(
  folder: string,
  index: LatentsIndex,
  shard: number,
  samples: readonly EncodedSample[],
): Promise<void> {
  const frames = samples.flatMap((sample) => sample.frames);
  const shape = [frames.length, ...momentsShape(index)];
  const joined = (parts: readonly Float32Array[]): Tensor => {
    const all = joinArrays('float32', parts);
    return index.dtype === 'float16'
      ? tensor('float16', shape, float32ToFloat16(all))
      : tensor('float32', shape, all);
  };
  const numbers = (numberOf: (sample: EncodedSample) => number): Tensor =>
    tensor('int32', [samples.length], Int32Array.from(samples, numberOf));
  const tensors: [string, Tensor][] = [
    [MOMENTS, joined(frames.map(({ moments }) => moments))],
    [LABELS, numbers(({ label }) => label)],
  ];
  if (index.flips) tensors.push([FLIPPED, joined(frames.map(({ flipped }) => flipped!))]);
  if (index.clips) tensors.push([FRAMES, numbers((sample) => sample.frames.length)]);
  const path = shardFile(folder, index, shard);
  await writeChecksummedSafetensors(path, tensors, shardMetadata(index, shard), [MOMENTS, FLIPPED]);
}

/** Returns the metadata that ties a shard to its index and its place. */
function shardMetadata(index: LatentsIndex, shard: number): Record<string, string> {
  const { source, autoencoder } = index;
  return { shard: String(shardNumber(index, shard)), source, autoencoder: autoencoder.fingerprint };
}

/** An open shard. */
export type Shard = Awaited<ReturnType<typeof openShard>>;

/**
 * Open a shard that its index lists as finished.
 * @throws {FormatError} naming it, if it is missing, damaged, or not the one that the index means.
 */
export async function openShard(folder: string, index: LatentsIndex, shard: number) {
  const path = shardFile(folder, index, shard);
  const isEarlier = (): boolean => index.version === EARLIER_VERSION;
  const archive = await openChecksummedSafetensors(await openFile(path), isEarlier);
  return closingOnError(archive, async () => {
    checkShard(archive, index, shard, path);
    const labels = (await archive.read(LABELS)).data as Int32Array;
    const wrong = labels.find((label) => !(label >= 0 && label < index.classNames.length));
    if (wrong !== undefined) {
      throw new FormatError(
        `${path}: holds the label ${wrong}, but there are ${index.classNames.length} classes`,
      );
    }
    const frames = index.clips
      ? ((await archive.read(FRAMES)).data as Int32Array)
      : new Int32Array(labels.length).fill(1);
    const starts = startsOf(frames);
    if (frames.some((count) => count < 1) || starts.at(-1)! !== shardFrames(index, shard)) {
      throw new FormatError(
        `${path}: its samples' frames are not the ${shardFrames(index, shard)} of its index`,
      );
    }
    return {
      labels,
      /** How many frames each sample has: 1 if it is an image. */
      frames,
      /** Moments (count, 2C, h, w) of frames of a sample, from frame `first` on. */
      async read(row: number, first: number, count: number, flipped: boolean): Promise<Float32Array> {
        const { data } = toFloat32(
          await archive.readRows(flipped ? FLIPPED : MOMENTS, at(starts, row) + first, count),
        );
        if (data.every(Number.isFinite)) return data;
        throw new FormatError(`${path}: sample ${row} has values that are no numbers; the file is damaged`);
      },
      /** Reads everything. @throws {FormatError} if anything is damaged; the signal's reason once it is aborted. */
      async verify(signal?: AbortSignal): Promise<void> {
        const total = starts.at(-1)!;
        for (const name of index.flips ? [MOMENTS, FLIPPED] : [MOMENTS]) {
          for (let first = 0; first < total; first += ROWS_AT_ONCE) {
            signal?.throwIfAborted();
            await archive.readRows(name, first, Math.min(ROWS_AT_ONCE, total - first));
          }
        }
      },
      close: () => archive.close(),
    };
  });
}

/** Where each part begins if parts of these lengths follow each other, and where the last one ends. */
export function startsOf(lengths: ArrayLike<number>): number[] {
  const starts = [0];
  let end = 0;
  for (const length of Array.from(lengths)) {
    end += length;
    starts.push(end);
  }
  return starts;
}

function checkShard(archive: SafetensorsArchive, index: LatentsIndex, shard: number, path: string): void {
  const { samples } = at(index.shards, shard);
  const moments = { dtype: index.dtype, shape: [shardFrames(index, shard), ...momentsShape(index)] };
  const expected = {
    [MOMENTS]: moments,
    ...(index.flips && { [FLIPPED]: moments }),
    [LABELS]: { dtype: 'int32', shape: [samples] },
    ...(index.clips && { [FRAMES]: { dtype: 'int32', shape: [samples] } }),
  };
  for (const [name, { dtype, shape }] of Object.entries(expected)) {
    const actual = archive.info(name);
    if (actual.dtype !== dtype || actual.shape.join() !== shape.join()) {
      throw new FormatError(
        `${path}: ${name} is [${actual.shape}] of ${actual.dtype}, but its index says [${shape}] of ${dtype}`,
      );
    }
  }
  for (const [key, value] of Object.entries(shardMetadata(index, shard))) {
    const actual = archive.metadata[key];
    if (actual !== value) {
      throw new FormatError(
        `${path}: belongs to another set of latents: its ${key} is ${printable(String(actual))}, the index says ${value}`,
      );
    }
  }
}
