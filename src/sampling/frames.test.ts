import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { unpatchify } from '../models/acdit/layout.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type DecodeFrames, type FramesEvent, streamFrames } from './frames.ts';
import { stackBlocks } from './request.ts';
import type { SampleEvent } from './sampler.ts';

/** Clips of 4 frames of 4 tokens, in blocks of 2 frames, or of 2 thirds of one. */
const inWholeFrames = tinyConfig({
  frames: 4,
  height: 4,
  width: 4,
  blocks: 2,
  blockSize: 8,
  squareBlocks: false,
  positionSplit: [2, 3, 3],
  hidden: 64,
  heads: 2,
});
const inParts = tinyConfig({ ...inWholeFrames, height: 4, width: 6, frames: 2, blocks: 3, blockSize: 4 });

/** What a sampler would say, with a step before each block. */
async function* eventsOf(
  blocks: readonly Tensor<'float32'>[],
  log: string[] = [],
): AsyncGenerator<SampleEvent> {
  for (const [block, latents] of blocks.entries()) {
    log.push(`step of ${block}`);
    yield { kind: 'step', block, step: 1, steps: 1, passes: 1, latents, clean: latents };
    yield { kind: 'block', block, latents };
  }
  yield { kind: 'done', latents: stackBlocks(blocks) };
}

function randomBlocks(count: number, size: number): Tensor<'float32'>[] {
  const generator = new Generator(1);
  return Array.from({ length: count }, () => float32([2, size, 4], generator.randn(2 * size * 4)));
}

describe.each([
  ['whole frames', inWholeFrames, 2],
  ['whole frames, longer than trained', inWholeFrames, 5],
  ['parts of frames', inParts, 3],
] as const)('blocks of %s', (_, config, count) => {
  const blocks = randomBlocks(count, config.blockSize);
  const decode: DecodeFrames = async (tokens) => unpatchify(config, tokens);

  it('give all frames once, in order, before the end', async () => {
    const frames: FramesEvent[] = [];
    const kinds: string[] = [];
    for await (const event of streamFrames(config, eventsOf(blocks), decode)) {
      kinds.push(event.kind);
      if (event.kind === 'frames') frames.push(event);
    }
    expect(kinds.at(-1)).toBe('done');
    let next = 0;
    const whole = unpatchify(config, stackBlocks(blocks));
    const size = 4 * whole.shape[4];
    for (const { first, frames: part } of frames) {
      expect(first).toBe(next);
      next += part.shape[1];
      for (let n = 0; n < 2; n++) {
        const expected = whole.data.subarray(
          (n * whole.shape[1] + first) * size,
          (n * whole.shape[1] + next) * size,
        );
        expect(part.data.subarray(n * part.shape[1] * size, (n + 1) * part.shape[1] * size)).toEqual(
          expected,
        );
      }
    }
    expect(next).toBe(whole.shape[1]);
  });
});

describe('decoding elsewhere', () => {
  const blocks = randomBlocks(3, 8);

  it('continues while the next block is made', async () => {
    const log: string[] = [];
    const decode: DecodeFrames = async (tokens) => {
      log.push('decode');
      await new Promise((resolve) => setTimeout(resolve, 5));
      return unpatchify(inWholeFrames, tokens);
    };
    for await (const event of streamFrames(inWholeFrames, eventsOf(blocks, log), decode)) {
      if (event.kind === 'frames') log.push(`frames ${event.first}`);
    }
    expect(log.indexOf('step of 1')).toBeLessThan(log.indexOf('frames 0'));
    expect(log.filter((line) => line.startsWith('frames'))).toEqual(['frames 0', 'frames 2', 'frames 4']);
  });

  it('ends the stream where it fails', async () => {
    const decode: DecodeFrames = async () => {
      throw new Error('no room');
    };
    const seen: string[] = [];
    await expect(async () => {
      for await (const event of streamFrames(inWholeFrames, eventsOf(blocks), decode)) seen.push(event.kind);
    }).rejects.toThrow('no room');
    expect(seen).toEqual(['step']);
  });
});
