import { describe, expect, it } from 'vitest';
import { paperConfig } from './config.ts';
import { sampleCost, sequenceCost, trainingCost } from './cost.ts';

const SIZES = ['B', 'L', 'XL', 'H'] as const;

/** GMACs of one forward pass of 1024 tokens, counted from the official code. */
const SEQUENCE = { B: 106.3, L: 360.9, XL: 524.5, H: 730.5 };
/**
 * TMACs of a sample of 25 steps per block without guidance, with the passes of finished blocks, counted from the
 * paper's formulas.
 */
const SAMPLE = {
  image: { B: 2.55, L: 8.8, XL: 12.86, H: 18.0 },
  video: { B: 13.9, L: 45.1, XL: 64.4, H: 88.4 },
};

/** Equal to half of the last digit that is given, and the last layer's tokens and the shared conditions that we save. */
const near = (value: number, expected: number): void => {
  expect(Math.abs(value / expected - 1)).toBeLessThan(0.006);
};

describe.each(SIZES)('ACDiT-%s', (size) => {
  it('needs the known multiply-adds for a whole sequence', () => {
    expect(Math.abs(sequenceCost(paperConfig(size, 'image')) / 1e9 - SEQUENCE[size])).toBeLessThan(0.1);
  });

  it.each(['image', 'video'] as const)('needs the known multiply-adds for an %s', (kind) => {
    const config = paperConfig(size, kind);
    const plain = sampleCost(config, 25);
    near(plain / 1e12, SAMPLE[kind][size]);
    // Finished blocks are shared by both branches.
    const guided = sampleCost(config, 50) / plain;
    expect(guided).toBeGreaterThan(1.95);
    expect(guided).toBeLessThan(2);
  });

  it('needs three forward passes of 1792 tokens to train on an image, with a mask that is half empty', () => {
    const config = paperConfig(size, 'image');
    const dense = (3 * 1792 * sequenceCost(config)) / 1024;
    expect(trainingCost(config)).toBeLessThan(dense);
    expect(trainingCost(config)).toBeGreaterThan(0.85 * dense);
  });
});
