import { describe, expect, it } from 'vitest';
import { Generator } from '../tensor/generator.ts';
import { drawTimesteps, type TimestepSampling, timestepProbabilities } from './timestep-sampling.ts';

const draw = (sampling: TimestepSampling): number[] =>
  Array.from(drawTimesteps(sampling, 1000, 20_000, new Generator(4))).sort((a, b) => a - b);

describe('timesteps', () => {
  it('drawn uniformly cover the schedule alike', () => {
    const sorted = draw('uniform');
    expect([sorted.at(0), sorted.at(-1)]).toEqual([0, 999]);
    expect(Math.abs((sorted[10_000] ?? 0) - 500)).toBeLessThan(15);
    expect(new Set(timestepProbabilities('uniform', 1000))).toEqual(new Set([1 / 1000]));
  });

  // The normal distribution has 15.87% below -1, 50% below 0 and 84.13% below 1, and sigmoid is monotonic.
  it.each([
    [0.8, 0.8, [500, 690, 832]],
    [0, 1, [269, 500, 731]],
    [-1, 0.5, [182, 269, 378]],
  ] as const)(
    'drawn logit-normally have the quantiles of mean %s, deviation %s',
    (mean, deviation, quantiles) => {
      const sorted = draw({ mean, deviation });
      const probabilities = timestepProbabilities({ mean, deviation }, 1000);
      for (const [i, share] of [0.1587, 0.5, 0.8413].entries()) {
        const expected = quantiles[i] ?? Number.NaN;
        expect(Math.abs((sorted[Math.floor(share * 20_000)] ?? Number.NaN) - expected)).toBeLessThan(12);
        const below = probabilities.slice(0, expected).reduce((sum, value) => sum + value, 0);
        expect(below).toBeCloseTo(share, 2);
      }
    },
  );

  it('stay in the schedule however extreme the distribution is', () => {
    expect(draw({ mean: 40, deviation: 1 }).at(0)).toBe(999);
    expect(draw({ mean: -40, deviation: 1 }).at(-1)).toBe(0);
  });
});
