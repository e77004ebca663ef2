/** @file Encodes the images or videos of a dataset one after another, frame by frame. */

import { at, take } from '../../at.ts';
import { AcditError } from '../../errors.ts';
import type { Autoencoder, LatentDistribution } from '../../models/autoencoder/autoencoder.ts';
import { joinArrays } from '../../tensor/axes.ts';
import { elementCount, float32 } from '../../tensor/tensor.ts';
import { flipHorizontally } from '../augment.ts';
import { CorruptVideo, type ImageDataset, type Recording, type VideoDataset } from '../dataset.ts';
import type { LatentsSettings } from './index-file.ts';
import type { EncodedFrame, EncodedSample } from './shard.ts';

/** What is encoded, and with what. */
export interface EncodeSource {
  readonly source: ImageDataset | VideoDataset;
  /** Encodes; its latents times the scaling factor are what models learn. */
  readonly encoder: Pick<Autoencoder, 'config' | 'encode'>;
  readonly signal?: AbortSignal | undefined;
}

/** Images decoded ahead of the encoder, which takes far longer for one. Videos are decoded while they are encoded. */
const READ_AHEAD = 8;

/**
 * Encodes images or videos `first` up to `end`, in order.
 * @param onFrame gets the number of finished frames of the present one.
 * @returns undefined for one that is corrupt
 */
export async function* encodeSamples(
  options: EncodeSource,
  settings: LatentsSettings,
  { first, end }: { readonly first: number; readonly end: number },
  onFrame: (frames: number) => void = () => {},
): AsyncGenerator<EncodedSample | undefined, void> {
  let number = first;
  for await (const recording of readAhead(options.source, first, end)) {
    options.signal?.throwIfAborted();
    yield recording && (await encodeRecording(options, settings, recording, { number, onFrame }));
    number++;
  }
}

export function isVideos(source: EncodeSource['source']): source is VideoDataset {
  return 'record' in source;
}

/** An image as its one frame, or a video. */
async function recordingOf(source: EncodeSource['source'], index: number): Promise<Recording | undefined> {
  if (isVideos(source)) return source.record(index);
  const sample = await source.read(index);
  return sample && { label: sample.label, frames: [sample.values] };
}

/** What is at `first` to `end` in order; the next images are decoded meanwhile, on other threads. */
async function* readAhead(source: EncodeSource['source'], first: number, end: number) {
  const ahead: Promise<Recording | undefined>[] = [];
  for (let next = first; next < end || ahead.length > 0; ) {
    while (next < end && ahead.length < READ_AHEAD) {
      const recording = recordingOf(source, next++);
      // Seen when its turn comes; until then a failure must not count as unhandled.
      recording.catch(() => {});
      ahead.push(recording);
    }
    yield await ahead.shift();
  }
}

/** Encodes frame by frame, so that only one is in memory; undefined if it cannot be read to its end. */
async function encodeRecording(
  options: EncodeSource,
  settings: LatentsSettings,
  { frames, label }: Recording,
  { number, onFrame }: { readonly number: number; readonly onFrame: (frames: number) => void },
): Promise<EncodedSample | undefined> {
  const encoded: EncodedFrame[] = [];
  try {
    for await (const frame of frames) {
      options.signal?.throwIfAborted();
      encoded.push(await encodeFrame(options, settings, frame, number));
      onFrame(encoded.length);
    }
  } catch (error) {
    if (error instanceof CorruptVideo) return undefined;
    throw error;
  }
  return { frames: encoded, label };
}

async function encodeFrame(
  { source, encoder, signal }: EncodeSource,
  { flips, dtype }: LatentsSettings,
  values: Float32Array,
  number: number,
): Promise<EncodedFrame> {
  const { sampleShape } = source;
  const variants = flips ? [values, flipHorizontally(values, sampleShape)] : [values];
  const shape = [variants.length, ...sampleShape.slice(1)];
  const pictures = float32(shape, joinArrays('float32', variants));
  const [moments, flipped] = take(momentsOf(await encoder.encode(pictures, { signal })), 1);
  const largest = dtype === 'float16' ? 65504 : Number.MAX_VALUE;
  const isHeld = (value: number): boolean => Math.abs(value) <= largest;
  if (moments.every(isHeld) && (flipped?.every(isHeld) ?? true)) return { moments, flipped };
  throw new AcditError(
    `${source.name}: ${isVideos(source) ? 'video' : 'image'} ${number} gives latents beyond what ${dtype} holds; ` +
      'the autoencoder may be broken, else use --dtype fp32',
  );
}

/** Means and then log variances of each image. */
function momentsOf({ mean, logVariance }: LatentDistribution): Float32Array[] {
  const size = elementCount(mean.shape.slice(1));
  return Array.from({ length: at(mean.shape, 0) }, (_, n) => {
    const parts = [mean, logVariance].map(({ data }) => data.subarray(n * size, (n + 1) * size));
    return joinArrays('float32', parts);
  });
}
