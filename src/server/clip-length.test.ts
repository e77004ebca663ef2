import { describe, expect, it } from 'vitest';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { requestedLength } from './clip-length.ts';

/** Clips of 8 frames in 16 blocks of half a frame. */
const halves = { ...tinyClips, blockSize: 2, blocks: 16 };
const oneBlock = { ...tinyClips, blockSize: 32, blocks: 1 };

describe('the length of a clip whose blocks are no whole frames', () => {
  it('ends with a frame', () => {
    expect(requestedLength(halves, { blocks: 6 }, 64)).toMatchObject({ blocks: 6, slides: false });
    expect(() => requestedLength(halves, { blocks: 7 }, 64)).toThrow('every 2 blocks, got 7');
    expect(requestedLength(halves, { seconds: 5, fps: 4 }, 64)).toMatchObject({ blocks: 40, slides: true });
    expect(() => requestedLength(halves, { seconds: 0.1, fps: 4 }, 64)).toThrow('0 frames');
  });
});

describe('the length of a clip of one block', () => {
  it('is that block', () => {
    expect(requestedLength(oneBlock, { seconds: 2, fps: 4 }, 64)).toMatchObject({ blocks: 1 });
    expect(() => requestedLength(oneBlock, { seconds: 4, fps: 4 }, 64)).toThrow('in one block');
  });
});
