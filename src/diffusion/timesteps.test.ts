import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createNoiseSchedule, NOISE_SCHEDULES } from './noise-schedule.ts';
import { logSnrTimesteps, timestepsProblem } from './timesteps.ts';

/** Log signal-to-noise of the continuous-time schedules, each written out as in its paper, without shift. */
const FORMULAS = {
  // Betas from 1e-4 to 0.02, summed as logarithms.
  linear(timestep: number) {
    let log = 0;
    for (let t = 0; t <= timestep; t++) log += Math.log1p(-(1e-4 + (t / 999) * (0.02 - 1e-4)));
    return log - Math.log(-Math.expm1(log));
  },
  cosine(timestep: number) {
    const angle = (t: number) => ((t / 1000 + 0.008) / 1.008) * (Math.PI / 2);
    const remaining = Math.cos(angle(timestep + 1)) ** 2 / Math.cos(angle(0)) ** 2;
    return Math.log(remaining / (1 - remaining));
  },
  flow: (timestep: number) => 2 * Math.log((999 - timestep) / (timestep + 1)),
};

const shifts = fc.double({ min: 0.2, max: 8, noNaN: true });

describe('timesteps in log signal-to-noise', () => {
  it.each(NOISE_SCHEDULES)('fall from the last one, in any number of steps: %s', (name) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), shifts, (steps, shift) => {
        const schedule = createNoiseSchedule(name, shift);
        const timesteps = logSnrTimesteps(schedule, steps);
        expect(timesteps).toHaveLength(steps);
        expect(timesteps[0]).toBe(999);
        expect(timestepsProblem(timesteps, schedule)).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  it.each(NOISE_SCHEDULES)('are all timesteps in 1000 steps: %s', (name) => {
    const timesteps = logSnrTimesteps(createNoiseSchedule(name), 1000);
    expect(timesteps).toEqual(Array.from({ length: 1000 }, (_, i) => 999 - i));
  });

  it.each(NOISE_SCHEDULES)('are as evenly spaced as whole timesteps allow: %s', (name) => {
    const level = FORMULAS[name];
    for (const steps of [4, 6, 8, 10, 16]) {
      const timesteps = logSnrTimesteps(createNoiseSchedule(name), steps);
      // The first is the noisiest of the schedule, which may be noise alone.
      const from = Math.max(level(999), -10.2);
      const to = level(timesteps.at(-1)!);
      for (const [i, timestep] of timesteps.entries()) {
        if (i === 0) continue;
        const wanted = from + ((to - from) * i) / (steps - 1);
        const spacing = level(timestep - 1) - level(timestep + 1);
        expect(Math.abs(level(timestep) - wanted)).toBeLessThan(spacing);
      }
    }
  });

  it('of few steps end at timestep 20 of the linear schedule, and at as little noise in the others', () => {
    for (const steps of [2, 6, 10, 16]) {
      expect(logSnrTimesteps(createNoiseSchedule('linear'), steps).at(-1)).toBe(20);
      for (const name of NOISE_SCHEDULES) {
        const last = logSnrTimesteps(createNoiseSchedule(name), steps).at(-1)!;
        expect(Math.abs(FORMULAS[name](last) - FORMULAS.linear(20))).toBeLessThan(0.05);
      }
    }
  });
});

describe('a list of timesteps', () => {
  const schedule = createNoiseSchedule('linear');
  it.each([
    [[], 'must have at least one timestep'],
    [[1000], 'must be whole numbers from 999 to 0, each below the one before, got 1000'],
    [[500, -1], 'got -1 after 500'],
    [[500, 500], 'got 500 after 500'],
    [[20, 30], 'got 30 after 20'],
    [[1.5], 'got 1.5'],
    [[Number.NaN], 'got NaN'],
  ])('is refused: %j', (timesteps, message) => {
    expect(timestepsProblem(timesteps, schedule)).toContain(message);
  });

  it.each([[[999]], [[0]], [[999, 0]], [[700, 699, 3]]])('is valid: %j', (timesteps) => {
    expect(timestepsProblem(timesteps, schedule)).toBeUndefined();
  });
});
