import { describe, expect, it } from 'vitest';
import { createNoiseSchedule, linearNoiseSchedule, NOISE_SCHEDULES } from '../diffusion/noise-schedule.ts';
import { Generator } from '../tensor/generator.ts';
import { LOSS_WEIGHTINGS, timestepWeights } from './loss-weighting.ts';
import { drawTimesteps } from './timestep-sampling.ts';

const schedule = linearNoiseSchedule();

describe('the weights of timesteps', () => {
  it('are 1 where all count alike', () => {
    expect(new Set(timestepWeights(schedule, { weighting: 'uniform' }))).toEqual(new Set([1]));
  });

  it('are noise over signal where debiased, with a mean of 1', () => {
    const weights = timestepWeights(schedule, { weighting: 'debiased' });
    expect(weights.reduce((sum, weight) => sum + weight, 0) / 1000).toBeCloseTo(1, 5);
    const ratio = (t: number): number =>
      Math.sqrt((1 - schedule.alphasCumprod[t]) / schedule.alphasCumprod[t]);
    expect(weights[900] / weights[300]).toBeCloseTo(ratio(900) / ratio(300), 3);
    expect([...weights].every((weight, t) => t === 0 || weight > weights[t - 1])).toBe(true);
  });

  it('have a mean of 1 over the timesteps that are drawn', () => {
    const timesteps = { mean: 0.8, deviation: 0.8 };
    const weights = timestepWeights(createNoiseSchedule('flow'), {
      weighting: 'v',
      prediction: 'sample',
      timesteps,
    });
    const drawn = Array.from(
      drawTimesteps(timesteps, 1000, 50_000, new Generator(1)),
      (t) => weights[t] ?? 0,
    );
    expect(drawn.reduce((sum, weight) => sum + weight, 0) / drawn.length).toBeCloseTo(1, 1);
  });

  it('of v make a loss on clean images one on velocities, but for the least noise', () => {
    const weights = timestepWeights(createNoiseSchedule('flow'), { weighting: 'v', prediction: 'sample' });
    // On the straight path a velocity is (x_t - x_0) / t, so its error is the clean image's divided by t.
    expect((weights[99] ?? 0) / (weights[399] ?? 0)).toBeCloseTo((0.4 / 0.1) ** 2, 2);
    expect(weights[9]).toBeCloseTo(weights[49] ?? 0, 4);
    const velocity = timestepWeights(createNoiseSchedule('flow'), { weighting: 'v', prediction: 'flow' });
    expect(velocity[999]).toBeCloseTo(velocity[500] ?? 0, 5);
  });

  // The bounds of a recipe.
  it.each([0.1, 100])('are finite for every schedule with noise times %s, and extreme timesteps', (shift) => {
    for (const name of NOISE_SCHEDULES) {
      for (const weighting of LOSS_WEIGHTINGS) {
        for (const [mean, deviation] of [
          [5, 0.05],
          [-5, 0.05],
          [5, 10],
          [0, 1],
        ] as const) {
          const options = { weighting, prediction: 'sample', timesteps: { mean, deviation } } as const;
          const weights = timestepWeights(createNoiseSchedule(name, shift), options);
          expect(weights.every(Number.isFinite), `${name} ${weighting} ${mean} ${deviation}`).toBe(true);
        }
      }
    }
  });

  it('of v are even for a network that predicts v', () => {
    const weights = timestepWeights(schedule, { weighting: 'v', prediction: 'v' });
    expect(weights[999]).toBeCloseTo(weights[200] ?? 0, 4);
  });
});
