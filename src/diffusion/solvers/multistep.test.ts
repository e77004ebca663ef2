import { describe, expect, it } from 'vitest';
import { Generator } from '../../tensor/generator.ts';
import { createNoiseSchedule, linearNoiseSchedule, noiseLevel } from '../noise-schedule.ts';
import { denoise } from '../prediction.ts';
import { createSolver } from './index.ts';
import { multistep, secondOrderWeights } from './multistep.ts';

const COUNT = 12;

describe('steps by weights', () => {
  it('are DPM-Solver++ 2M with its weights, as diffusers takes them', () => {
    const schedule = linearNoiseSchedule();
    const official = createSolver('dpm-solver-plus-plus-2m', schedule, 8);
    const { timesteps } = official;
    const solver = multistep(schedule, { timesteps, weights: secondOrderWeights(schedule, timesteps) });
    const generator = Generator.seeded(3);
    const start = generator.randn(COUNT);
    let [x, y, ours, theirs] = [start, start, {}, official.initialState()];
    for (const [i, timestep] of timesteps.entries()) {
      const epsilon = generator.randn(COUNT);
      const { clean } = denoise('epsilon', noiseLevel(schedule, timestep), x, epsilon);
      const next = solver.step(i, x, clean, ours);
      const expected = official.step(i, y, epsilon, theirs);
      [x, ours, y, theirs] = [next.x, next.state, expected.x, expected.state];
      const scale = Math.max(...y.map(Math.abs));
      for (const [k, value] of x.entries()) expect(Math.abs(value - y[k])).toBeLessThan(1e-5 * scale);
    }
  });

  it.each(['linear', 'cosine', 'flow'] as const)('are exact if all predictions agree: %s', (name) => {
    const schedule = createNoiseSchedule(name);
    const timesteps = [999, 600, 250, 30];
    const weights = [[1], [1.7, -0.7], [1.2, -0.5, 0.3], [0.4, 0.3, 0.2, 0.1]];
    const solver = multistep(schedule, { timesteps, weights });
    const generator = Generator.seeded(4);
    const [clean, noise] = [generator.randn(COUNT), generator.randn(COUNT)];
    const at = (timestep: number): Float32Array => {
      const level = noiseLevel(schedule, timestep);
      return clean.map((value, k) => level.signal * value + level.noise * noise[k]);
    };
    let [x, state] = [at(999), {}];
    for (const [i] of timesteps.entries()) {
      ({ x, state } = solver.step(i, x, clean, state));
      const expected = timesteps[i + 1] === undefined ? clean : at(timesteps[i + 1]);
      for (const [k, value] of x.entries()) expect(value).toBeCloseTo(expected[k], 5);
    }
  });
});
