import { describe, expect, it } from 'vitest';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { requestedBlocks } from './sampling-request.ts';

/** Clips of 8 frames in 16 blocks of half a frame. */
const halves = { ...tinyClips, blockSize: 2, blocks: 16 };
const oneBlock = { ...tinyClips, blockSize: 32, blocks: 1 };

describe('the length of a clip whose blocks are not whole frames', () => {
  it('ends with a frame', () => {
    expect(requestedBlocks(halves, { blocks: 6 }, 64)).toBe(6);
    expect(() => requestedBlocks(halves, { blocks: 7 }, 64)).toThrow('every 2 blocks, got 7');
    expect(requestedBlocks(halves, { seconds: 5, fps: 4 }, 64)).toBe(40);
    expect(() => requestedBlocks(halves, { seconds: 0.1, fps: 4 }, 64)).toThrow('0 frames');
  });
});

describe('the length of a clip of one block', () => {
  it('is that block', () => {
    expect(requestedBlocks(oneBlock, { seconds: 2, fps: 4 }, 64)).toBe(1);
    expect(() => requestedBlocks(oneBlock, { seconds: 4, fps: 4 }, 64)).toThrow('in one block');
  });
});
