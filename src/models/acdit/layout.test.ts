import { describe, expect, it } from 'vitest';
import { randomTensor } from '../../../test/support/evaluate.ts';
import { tinyConfig } from '../../../test/support/tiny-config.ts';
import { ShapeError } from '../../errors.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import type { AcditConfig } from './config.ts';
import { blockOrder, framesLayout, patchify, tokenOffsets, tokenPositions, unpatchify } from './layout.ts';

const configs: [string, AcditConfig][] = [
  ['an image', tinyConfig({ channels: 3 })],
  ['an image in single pixels', tinyConfig({ patch: 1, blockSize: 16, channels: 4 })],
  ['a wide image', tinyConfig({ width: 16, blocks: 8 })],
  ['an image in rows of tokens', tinyConfig({ squareBlocks: false })],
  ['one block', tinyConfig({ blocks: 1, blockSize: 16 })],
  ['one token a block', tinyConfig({ blocks: 16, blockSize: 1 })],
  [
    'a video',
    tinyConfig({
      frames: 4,
      channels: 2,
      blocks: 2,
      blockSize: 32,
      squareBlocks: false,
      positionSplit: [2, 1, 1],
    }),
  ],
];

function pictures(config: AcditConfig, samples: number): Tensor<'float32'> {
  const { frames, channels, height, width } = config;
  return randomTensor([samples, frames, channels, height, width], 5);
}

describe.each(configs)('%s', (_, config) => {
  it('comes back from tokens as it was', () => {
    const before = pictures(config, 2);
    const tokens = patchify(config, before);
    expect(tokens.shape).toEqual([2, config.blocks, config.blockSize, config.channels * config.patch ** 2]);
    expect(unpatchify(config, tokens)).toEqual(before);
  });

  it('has every value in its tokens once', () => {
    const offsets = tokenOffsets(config);
    expect(Array.from(offsets).sort((a, b) => a - b)).toEqual(Array.from(offsets.keys()));
  });

  it('says where each token lies', () => {
    const { frames, channels, height, width, patch, positionSplit } = config;
    // An image whose every value is the place of its patch.
    const places = Array.from({ length: frames * channels * height * width }, (_, i) => {
      const [x, y] = [i % width, Math.floor(i / width) % height];
      const frame = Math.floor(i / (width * height * channels));
      return (frame * 100 + Math.floor(y / patch)) * 100 + Math.floor(x / patch);
    });
    const tokens = patchify(config, float32([1, frames, channels, height, width], places));
    const positions = tokenPositions(config);
    expect(positions).toHaveLength(positionSplit.length);
    const [time, row, column] = positions.length === 3 ? positions : [new Int32Array(1e3), ...positions];
    const size = channels * patch ** 2;
    for (let i = 0; i < tokens.data.length; i++) {
      const token = Math.floor(i / size);
      expect(tokens.data[i]).toBe((time[token] * 100 + row[token]) * 100 + column[token]);
    }
  });
});

describe('the order of tokens', () => {
  it('is raster order in square blocks, which are in raster order', () => {
    const order = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
    expect(Array.from(blockOrder(tinyConfig()))).toEqual(order);
  });

  it('inside a token is row, column, channel', () => {
    const config = tinyConfig({ channels: 2, height: 2, width: 2, blocks: 1, blockSize: 1 });
    const picture = float32([1, 2, 2, 2], [0, 1, 2, 3, 10, 11, 12, 13]);
    expect(Array.from(patchify(config, picture).data)).toEqual([0, 10, 1, 11, 2, 12, 3, 13]);
  });
});

describe('a clip of another length', () => {
  const clips = tinyConfig({
    frames: 4,
    channels: 2,
    blocks: 2,
    blockSize: 32,
    squareBlocks: false,
    positionSplit: [2, 1, 1],
  });

  it.each([1, 2, 6])('of %i frames comes back from its tokens', (frames) => {
    const layout = framesLayout(clips, frames);
    expect(layout).toEqual({ ...clips, frames, blocks: 1, blockSize: 16 * frames });
    const before = pictures(layout, 2);
    const tokens = patchify(layout, before);
    expect(tokens.shape).toEqual([2, 1, 16 * frames, 8]);
    expect(unpatchify(clips, tokens)).toEqual(before);
  });

  it('comes back from more blocks than the model makes', () => {
    const blocks = randomTensor([1, 3, 32, 8], 5);
    const whole = unpatchify(clips, blocks);
    expect(whole.shape).toEqual([1, 6, 2, 8, 8]);
    // The last block alone is the last two frames.
    const last = unpatchify(clips, float32([1, 1, 32, 8], blocks.data.slice(2 * 32 * 8)));
    expect(whole.data.slice(4 * 2 * 8 * 8)).toEqual(last.data);
  });

  it('is refused if its last frame is incomplete', () => {
    expect(() => unpatchify(clips, randomTensor([1, 1, 24, 8], 5))).toThrow(ShapeError);
  });

  it.each([tinyConfig(), tinyConfig({ squareBlocks: false })])('is refused by a model of images', (image) => {
    expect(framesLayout(image, 1)).toBe(image);
    expect(() => unpatchify(image, randomTensor([1, 2, 4, 4], 5))).toThrow(ShapeError);
  });
});

describe('a wrong number of values', () => {
  it.each([patchify, unpatchify])('is refused by $name', (convert) => {
    for (const shape of [
      [1, 63],
      [0, 8, 8],
    ]) {
      const value = float32(shape, new Float32Array(shape.reduce((a, b) => a * b)));
      expect(() => convert(tinyConfig(), value)).toThrow(ShapeError);
      expect(() => convert(tinyConfig(), value)).toThrow(convert.name);
    }
  });
});
