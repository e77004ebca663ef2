/**
 * @file Frames of clips as they are finished: those of a block are decoded while the next one is denoised, if decoding
 * happens on another thread or in another process.
 */

import { take } from '../at.ts';
import { yieldToEventLoop } from '../event-loop.ts';
import { type AcditConfig, tokensPerFrame } from '../models/acdit/config.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { SampleEvent } from './sampler.ts';

/** Frames (N, frames, channels, H, W) in [-1, 1]; `first` is the number of the first of them in its clip. */
export interface FramesEvent {
  readonly kind: 'frames';
  readonly first: number;
  readonly frames: Tensor<'float32'>;
}

/** Tokens (N, T, B, C) of whole frames to images (N, frames, channels, H, W). */
export type DecodeFrames = (tokens: Tensor<'float32'>) => Promise<Tensor<'float32'>>;

/**
 * A sampler's events, and the frames of each finished block as soon as they are decoded: at the latest before `done`.
 * A block that ends within a frame leaves it to the next one.
 * @throws what `decode` throws
 */
export async function* streamFrames(
  config: AcditConfig,
  events: AsyncIterable<SampleEvent>,
  decode: DecodeFrames,
): AsyncGenerator<SampleEvent | FramesEvent, void, void> {
  const cut = frameCutter(config);
  const ready: FramesEvent[] = [];
  let decoding: Promise<void> = Promise.resolve();
  let failure: { readonly error: unknown } | undefined;
  for await (const event of events) {
    const whole = event.kind === 'block' ? cut(event.latents) : undefined;
    if (whole) {
      // Blocks are decoded one after the other.
      decoding = decoding.then(async () => {
        ready.push({ kind: 'frames', first: whole.first, frames: await decode(whole.tokens) });
      });
      decoding.catch((error) => {
        failure ??= { error };
      });
    }
    if (event.kind === 'done') await decoding;
    else await yieldToEventLoop();
    if (failure) throw failure.error;
    while (ready.length > 0) yield ready.shift()!;
    yield event;
  }
}

/** Makes a function that takes blocks (N, B, C) and returns the tokens of frames that are whole, (N, 1, tokens, C). */
function frameCutter(config: AcditConfig) {
  const perFrame = tokensPerFrame(config);
  let first = 0;
  let waiting: Tensor<'float32'> | undefined;
  return (block: Tensor<'float32'>): { first: number; tokens: Tensor<'float32'> } | undefined => {
    const all = waiting ? joinAxis([waiting, block], 1) : block;
    const [samples, count, size] = take(all.shape, 3);
    const frames = Math.floor(count / perFrame);
    const end = frames * perFrame;
    waiting = end < count ? sliceAxis(all, 1, end, count) : undefined;
    if (frames === 0) return undefined;
    const tokens = float32([samples, 1, end, size], sliceAxis(all, 1, 0, end).data);
    first += frames;
    return { first: first - frames, tokens };
  };
}
