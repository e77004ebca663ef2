/**
 * @file One shard of a set of latents, a safetensors file: `moments` (N, 2C, h, w), which are means and then log
 * variances, the same of mirrored images as `moments_flipped`, and `labels` (N). A sample's moments are one range.
 */

import { FormatError } from '../../errors.ts';
import { openFile } from '../../formats/file-source.ts';
import { printable } from '../../formats/printable.ts';
import { openSafetensors, type SafetensorsArchive } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-writer.ts';
import { float32ToFloat16, toFloat32 } from '../../tensor/convert.ts';
import { bytesPerElement, elementCount, type Tensor, tensor } from '../../tensor/tensor.ts';
import { type LatentsIndex, shardFile } from './index-file.ts';

const MOMENTS = 'moments';
const FLIPPED = 'moments_flipped';
const LABELS = 'labels';

/** Shape of one image's moments. */
export function momentsShape({ latentShape: [channels, height, width] }: Pick<LatentsIndex, 'latentShape'>) {
  return [2 * channels, height, width] as const;
}

/** What the values of one image take, in bytes. */
export function sampleBytes({
  latentShape,
  dtype,
  flips,
}: Pick<LatentsIndex, 'latentShape' | 'dtype' | 'flips'>): number {
  return 2 * elementCount(latentShape) * bytesPerElement(dtype) * (flips ? 2 : 1);
}

/** Moments of one image, (2C, h, w) each; `flipped` of its mirror image. */
export interface EncodedImage {
  readonly moments: Float32Array;
  readonly flipped: Float32Array | undefined;
  readonly label: number;
}

/** Write a shard as a whole. @throws {AcditError} if it cannot be written. */
export async function writeShard(
  folder: string,
  index: LatentsIndex,
  shard: number,
  images: readonly EncodedImage[],
): Promise<void> {
  const shape = [images.length, ...momentsShape(index)];
  const joined = (parts: readonly Float32Array[]): Tensor => {
    const all = new Float32Array(elementCount(shape));
    parts.forEach((part, i) => {
      all.set(part, i * part.length);
    });
    return index.dtype === 'float16'
      ? tensor('float16', shape, float32ToFloat16(all))
      : tensor('float32', shape, all);
  };
  const labels = Int32Array.from(images, ({ label }) => label);
  const tensors: [string, Tensor][] = [
    [MOMENTS, joined(images.map(({ moments }) => moments))],
    [LABELS, tensor('int32', [images.length], labels)],
  ];
  if (index.flips) tensors.push([FLIPPED, joined(images.map(({ flipped }) => flipped!))]);
  await writeSafetensors(shardFile(folder, shard), tensors, shardMetadata(index, shard));
}

/** By this a shard is known to belong to its index, at its place. */
function shardMetadata({ source, autoencoder }: LatentsIndex, shard: number): Record<string, string> {
  return { shard: String(shard), source, autoencoder: autoencoder.fingerprint };
}

/** An open shard. */
export interface Shard {
  readonly labels: Int32Array;
  /** Moments of a sample, (2C, h, w). */
  read(row: number, flipped: boolean): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Open a shard that its index lists as finished.
 * @throws {FormatError} naming it, if it is missing, damaged, or not the one that the index means.
 */
export async function openShard(folder: string, index: LatentsIndex, shard: number): Promise<Shard> {
  const path = shardFile(folder, shard);
  const archive = await openSafetensors(await openFile(path));
  try {
    checkShard(archive, index, shard, path);
    const labels = (await archive.read(LABELS)).data as Int32Array;
    const wrong = labels.find((label) => !(label >= 0 && label < index.classNames.length));
    if (wrong !== undefined) {
      throw new FormatError(
        `${path}: holds the label ${wrong}, but there are ${index.classNames.length} classes`,
      );
    }
    return {
      labels,
      async read(row, flipped) {
        const { data } = toFloat32(await archive.readRows(flipped ? FLIPPED : MOMENTS, row, 1));
        if (data.every(Number.isFinite)) return data;
        throw new FormatError(`${path}: sample ${row} has values that are no numbers; the file is damaged`);
      },
      close: () => archive.close(),
    };
  } catch (error) {
    await archive.close();
    throw error;
  }
}

function checkShard(archive: SafetensorsArchive, index: LatentsIndex, shard: number, path: string): void {
  const { samples } = index.shards[shard];
  const moments = { dtype: index.dtype, shape: [samples, ...momentsShape(index)] };
  const expected = {
    [MOMENTS]: moments,
    ...(index.flips && { [FLIPPED]: moments }),
    [LABELS]: { dtype: 'int32', shape: [samples] },
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
