import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { openFile } from '../io/file-source.ts';
import { timestepWeights } from '../training/loss-weighting.ts';
import { addNoise, createNoiseSchedule, noiseLevel } from './noise-schedule.ts';
import { denoise, PREDICTIONS, predictionTarget, squaredErrorRatio } from './prediction.ts';
import { createSolver, solverNames } from './solvers/index.ts';

/** Numbers of diffusers; see test/support/diffusion-fixture.py. */
const fixture = await openNpz(
  await openFile(fileURLToPath(new URL('../../test/fixtures/diffusion/predictions.npz', import.meta.url))),
);
const read = async (name: string): Promise<Float32Array> =>
  Float32Array.from((await fixture.read(name)).data as Float32Array);

const [clean, epsilon, output] = await Promise.all(['clean', 'epsilon', 'output'].map(read));
const linear = createNoiseSchedule('linear');
const flow = createNoiseSchedule('flow');

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of Array.from(expected).entries()) {
    expect(Math.abs(actual[i] - value), `value ${i}`).toBeLessThan(tolerance * Math.max(1, Math.abs(value)));
  }
}

describe('noise schedules', () => {
  it.each([
    ['cosine', 1, 'cosine.alphas_cumprod'],
    ['linear', 3, 'linear-shift-3.alphas_cumprod'],
  ] as const)('%s, shifted by %s, equals diffusers', async (name, shift, array) => {
    const { signal, noise } = createNoiseSchedule(name, shift);
    expectClose(
      signal.map((value) => value ** 2),
      await read(array),
    );
    expectClose(
      noise.map((value, t) => value ** 2 + signal[t] ** 2),
      new Float32Array(1000).fill(1),
    );
  });

  it.each([1, 3])('flow, shifted by %s, equals diffusers', async (shift) => {
    const { signal, noise } = createNoiseSchedule('flow', shift);
    expectClose(noise, await read(`flow-shift-${shift}.sigmas`));
    expectClose(
      noise.map((value, t) => value + signal[t]),
      new Float32Array(1000).fill(1),
    );
    expect([signal[999], noise[999]]).toEqual([0, 1]);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('refuse shift %s', (shift) => {
    expect(() => createNoiseSchedule('linear', shift)).toThrow(ArgumentError);
  });
});

describe('predictions', () => {
  it.each([20, 500, 980])('at timestep %s equal diffusers', async (timestep) => {
    const noised = await read(`noised.${timestep}`);
    const level = noiseLevel(linear, timestep);
    expectClose(predictionTarget('v', level, clean, epsilon), await read(`v-target.${timestep}`));
    for (const prediction of ['epsilon', 'v', 'sample'] as const) {
      const denoised = denoise(prediction, level, noised, output);
      expectClose(denoised.clean, await read(`clean.${prediction}.${timestep}`), 1e-4);
      const step = createSolver('ddim', linear, 50).step(49 - timestep / 20, noised, denoised.epsilon, {});
      expectClose(step.x, await read(`ddim.${prediction}.${timestep}`), 1e-4);
    }
  });

  it.each([1, 3])('flow, integrated by Euler with shift %s, equals diffusers', async (shift) => {
    const solver = createSolver('euler', createNoiseSchedule('flow', shift), 4);
    expect(solver.timesteps).toEqual([999, 749, 499, 249]);
    let x = epsilon;
    for (const index of solver.timesteps.keys()) {
      const velocity = output.map((value, i) => value * x[i]);
      x = solver.step(index, x, velocity, {}).x;
    }
    expectClose(x, await read(`euler.${shift}`));
  });

  it('give back the sample and the noise that they are made of', () => {
    const cases = fc.record({
      prediction: fc.constantFrom(...PREDICTIONS),
      path: fc.constantFrom('linear', 'cosine', 'flow' as const),
      // The last timestep of flow is pure noise, which says nothing about the sample.
      timestep: fc.integer({ min: 0, max: 990 }),
    });
    fc.assert(
      fc.property(cases, ({ prediction, path, timestep }) => {
        const schedule = createNoiseSchedule(path);
        const level = noiseLevel(schedule, timestep);
        const noised = addNoise(schedule, clean, epsilon, timestep);
        const back = denoise(prediction, level, noised, predictionTarget(prediction, level, clean, epsilon));
        // What is small in the noised sample is known less exactly.
        expectClose(back.clean, clean, 4e-6 / level.signal);
        expectClose(back.epsilon, epsilon, 4e-6 / level.noise);
      }),
      { numRuns: 200 },
    );
  });

  it('of pure noise give a clean sample, except epsilon', () => {
    const level = noiseLevel(flow, 999);
    for (const prediction of ['v', 'sample', 'flow'] as const) {
      const target = predictionTarget(prediction, level, clean, epsilon);
      expectClose(denoise(prediction, level, epsilon, target).clean, clean);
    }
  });

  it('have squared errors in the ratio that is stated', () => {
    const level = noiseLevel(linear, 300);
    const noised = addNoise(linear, clean, epsilon, 300);
    for (const prediction of PREDICTIONS) {
      const target = predictionTarget(prediction, level, clean, epsilon);
      const off = denoise(
        prediction,
        level,
        noised,
        target.map((value) => value + 0.5),
      );
      const cleanError = (off.clean[0] - clean[0]) ** 2;
      expect(0.25 / cleanError).toBeCloseTo(squaredErrorRatio(prediction, level), 2);
    }
  });
});

describe('solvers', () => {
  it.each(solverNames)('%s follow their own paths only', (name) => {
    const [follows, refuses] = name === 'euler' ? [flow, linear] : [linear, flow];
    expect(createSolver(name, follows, 10).timesteps).toHaveLength(10);
    expect(() => createSolver(name, refuses, 10)).toThrow(/flow.*use/);
  });
});

describe('min-SNR weights', () => {
  it.each(['epsilon', 'v', 'sample'] as const)('of %s equal those of diffusers', async (prediction) => {
    const weights = timestepWeights(linear, { weighting: 'min-snr', prediction });
    expectClose(weights, await read(`min-snr.${prediction}`), 1e-4);
  });
});
