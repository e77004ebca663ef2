import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError, ShapeError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { openFile } from '../io/file-source.ts';
import { addNoise, linearNoiseSchedule, noiseLevel } from './noise-schedule.ts';

const fixture = fileURLToPath(new URL('../../test/fixtures/golden/schedulers.npz', import.meta.url));

describe('linearNoiseSchedule', () => {
  it('equals diffusers bit for bit', async () => {
    const golden = await openNpz(await openFile(fixture));
    expect(linearNoiseSchedule().alphasCumprod).toEqual((await golden.read('alphas_cumprod')).data);
  });

  it('runs from the first beta to the last and loses signal at every timestep', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2000 }), (trainSteps) => {
        const { betas, alphasCumprod } = linearNoiseSchedule(trainSteps);
        expect(betas.length).toBe(trainSteps);
        expect(betas[0]).toBe(Math.fround(1e-4));
        expect(Math.abs(betas[trainSteps - 1] - 0.02)).toBeLessThan(1e-8);
        for (let t = 1; t < trainSteps; t++) {
          expect(betas[t] > betas[t - 1] && alphasCumprod[t] < alphasCumprod[t - 1]).toBe(true);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('takes a single timestep', () => {
    expect([...linearNoiseSchedule(1).betas]).toEqual([Math.fround(1e-4)]);
  });

  it.each([0, 1.5, Number.NaN])('refuses %s timesteps', (trainSteps) => {
    expect(() => linearNoiseSchedule(trainSteps)).toThrow(ArgumentError);
  });
});

describe('noiseLevel and addNoise', () => {
  const schedule = linearNoiseSchedule();

  it('keeps the variance of unit variance data', () => {
    for (let t = 0; t < 1000; t++) {
      const { signal, noise } = noiseLevel(schedule, t);
      expect(signal ** 2 + noise ** 2).toBeCloseTo(1, 6);
    }
  });

  it('mixes sample and noise', () => {
    const noised = addNoise(schedule, Float32Array.of(1, 0, 2), Float32Array.of(0, 1, -1), 500);
    const [signal, noise] = [Math.sqrt(0.0777966), Math.sqrt(1 - 0.0777966)];
    [signal, noise, 2 * signal - noise].forEach((value, i) => {
      expect(noised[i]).toBeCloseTo(value, 6);
    });
  });

  it.each([-1, 1000, 0.5])('refuses timestep %s', (timestep) => {
    expect(() => noiseLevel(schedule, timestep)).toThrow(ArgumentError);
  });

  it('refuses noise of another length', () => {
    expect(() => addNoise(schedule, new Float32Array(2), new Float32Array(3), 0)).toThrow(ShapeError);
  });
});
