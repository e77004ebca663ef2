import { describe, expect, it } from 'vitest';
import { tinyFields } from '../../../test/support/tiny-config.ts';
import { ConfigError } from '../../errors.ts';
import { ACDIT_SIZES, type AcditConfig, headSize, rotaryDims, validateConfig } from './config.ts';

const check = (changes: Partial<AcditConfig>): AcditConfig => validateConfig({ ...tinyFields, ...changes });

describe('a configuration', () => {
  it.each<[string, Partial<AcditConfig>]>([
    ['as it is', {}],
    ['one block', { blocks: 1, blockSize: 16 }],
    ['one token a block', { blocks: 16, blockSize: 1 }],
    ['runs of tokens', { blocks: 8, blockSize: 2, squareBlocks: false }],
    ['a wide picture', { width: 16, blocks: 8 }],
    ['frames', { frames: 2, blocks: 8, squareBlocks: false, positionSplit: [2, 1, 1] }],
    ['a time axis for one frame', { positionSplit: [2, 1, 1] }],
    ['a feed-forward network of a fraction', { mlpRatio: 1.125 }],
    [
      'a model of clean images on the straight path',
      { prediction: 'sample', noiseSchedule: 'flow', noiseShift: 2 },
    ],
    ['noised context', { contextNoise: 999 }],
    ['one guidance scale for full attention', { attention: 'full', guidance: { scale: [2, 2, 2, 2] } }],
    ['class names', { classNames: ['a', 'b', 'c'] }],
  ])('is valid: %s', (_, changes) => {
    expect(check(changes)).toEqual({ ...tinyFields, ...changes });
  });

  it.each<[RegExp, Partial<AcditConfig>]>([
    [
      /prediction flow needs the noise schedule flow, got cosine/,
      { prediction: 'flow', noiseSchedule: 'cosine' },
    ],
    [/prediction epsilon cannot follow .* use flow, v or sample/, { noiseSchedule: 'flow' }],
    [/noiseShift must be from 0.1 to 100, got 0/, { noiseShift: 0 }],
    [/noiseShift must be from 0.1 to 100, got 1e\+300/, { noiseShift: 1e300 }],
    [/contextNoise .* from 0 to 999, got 1000/, { contextNoise: 1000 }],
    [
      /guidance.scale must be the same for all blocks, since attention full denoises them together/,
      { attention: 'full', guidance: { scale: [1, 2, 2, 2] } },
    ],
    [
      /guidance.schedule must be the same for all blocks/,
      { attention: 'full', guidance: { scale: 2, schedule: 'linear' } },
    ],
    [/layers must be a whole number above 0, got 0/, { layers: 0 }],
    [/positionSplit .* 1, and 8992 more\] for 1 frames$/, { positionSplit: new Array(9000).fill(1) }],
    [/hidden .* got 12.5/, { hidden: 12.5 }],
    [/classes .* got NaN/, { classes: Number.NaN }],
    [/patch .* got -2/, { patch: -2 }],
    [/mlpRatio times hidden/, { mlpRatio: 1.3 }],
    [/mlpRatio .* got 0 times/, { mlpRatio: 0 }],
    [/hidden \(24\) must be a multiple of heads \(5\)/, { heads: 5 }],
    [/\(8x8\) must be multiples of patch \(3\)/, { patch: 3 }],
    [/the 16 tokens there are, got 5 x 4/, { blocks: 5 }],
    [/positionSplit needs 2 entries/, { positionSplit: [1] }],
    [/positionSplit .* \[1, 1\] for 2 frames/, { frames: 2, blocks: 8 }],
    [/does not divide a head of 8 .* must divide 4/, { positionSplit: [1, 2] }],
    [/does not divide/, { positionSplit: [0.5, 0.5] }],
    [/does not divide/, { positionSplit: [5, -1] }],
    [/even number of dimensions, got 3 \(hidden 9 in 3 heads\)/, { hidden: 9, heads: 3 }],
    [/square blocks of 8 tokens do not tile/, { blocks: 2, blockSize: 8 }],
    [/square blocks .* do not tile 1 x 6 x 4/, { height: 12, blocks: 1, blockSize: 24 }],
    [/square blocks .* do not tile 2 x/, { frames: 2, blocks: 8, positionSplit: [2, 1, 1] }],
    [/classNames has 1 names for 3 classes/, { classNames: ['a'] }],
  ])('is refused: %s', (message, changes) => {
    expect(() => check(changes)).toThrow(ConfigError);
    expect(() => check(changes)).toThrow(message);
  });
});

describe('rotary dimensions', () => {
  it.each<[number[], number, number[]]>([
    [[1, 1], 64, [32, 32]],
    [[2, 3, 3], 64, [16, 24, 24]],
    [[1, 1], 4, [2, 2]],
    [[1, 3], 8, [2, 6]],
  ])('of split %j over a head of %i are %j', (positionSplit, head, dims) => {
    expect(rotaryDims({ ...tinyFields, positionSplit, hidden: 3 * head })).toEqual(dims);
  });

  it('every size of the paper has heads of 64', () => {
    for (const size of Object.values(ACDIT_SIZES)) expect(headSize({ ...tinyFields, ...size })).toBe(64);
  });
});
