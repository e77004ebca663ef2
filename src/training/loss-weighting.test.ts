import { describe, expect, it } from 'vitest';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { timestepWeights } from './loss-weighting.ts';

const schedule = linearNoiseSchedule();

describe('the weights of timesteps', () => {
  it('are 1 where all count alike', () => {
    expect(new Set(timestepWeights(schedule, 'uniform'))).toEqual(new Set([1]));
  });

  it('are noise over signal where debiased, with a mean of 1', () => {
    const weights = timestepWeights(schedule, 'debiased');
    expect(weights.reduce((sum, weight) => sum + weight, 0) / 1000).toBeCloseTo(1, 5);
    const ratio = (t: number): number =>
      Math.sqrt((1 - schedule.alphasCumprod[t]) / schedule.alphasCumprod[t]);
    expect(weights[900] / weights[300]).toBeCloseTo(ratio(900) / ratio(300), 3);
    expect([...weights].every((weight, t) => t === 0 || weight > weights[t - 1])).toBe(true);
  });
});
