import { describe, expect, it } from 'vitest';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { Generator } from '../tensor/generator.ts';
import { planSampling } from './request.ts';

describe('planSampling', () => {
  it('draws noise from seed 42 unless another is given, for each sample by its number', () => {
    const { noise } = planSampling(tinyPixels, { labels: [0, 1] });
    const [{ shape, data }] = noise;
    const values = shape[1] * shape[2];
    for (const sample of [0, 1]) {
      const drawn = Generator.seeded(42, sample).randn(tinyPixels.blocks * values);
      expect(data.slice(sample * values, (sample + 1) * values)).toEqual(drawn.slice(0, values));
    }
    expect(planSampling(tinyPixels, { labels: [0, 1], seed: 0 }).noise).not.toEqual(noise);
  });
});
