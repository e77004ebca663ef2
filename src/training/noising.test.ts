import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { createNoiseSchedule, linearNoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import { PREDICTIONS } from '../diffusion/prediction.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import { noiseBatch } from './noising.ts';

const config = tinyConfig();
const schedule = linearNoiseSchedule();
const shape = [400, 4, 4, 4];
const clean = float32(shape, new Float32Array(400 * 64).fill(0.5));
const labels = Array.from({ length: 400 }, (_, n) => n % 3);
const noised = (labelDrop: number, seed = 1) =>
  noiseBatch(config, schedule, clean, labels, { labelDrop }, Generator.seeded(seed));

describe('a noised batch', () => {
  it('has a timestep of its own in every block, over the whole range', () => {
    const batch = noised(0);
    const timesteps = Array.from(batch.timesteps);
    expect(timesteps).toHaveLength(1600);
    expect(Math.min(...timesteps)).toBeLessThan(10);
    expect(Math.max(...timesteps)).toBeGreaterThan(989);
    expect(Math.max(...timesteps)).toBeLessThan(1000);
    expect(new Set(timesteps.slice(0, 4)).size).toBe(4);
    for (let i = 0; i < clean.data.length; i += 97) {
      const alpha = schedule.alphasCumprod[timesteps[Math.floor(i / 16)]];
      const expected = Math.sqrt(alpha) * 0.5 + Math.sqrt(1 - alpha) * batch.target.data[i];
      expect(batch.noised.data[i]).toBeCloseTo(expected, 5);
    }
  });

  it('drops the share of labels that is asked for', () => {
    const dropped = (share: number): number =>
      Array.from(noised(share).labels).filter((label) => label === 3).length;
    expect(dropped(0)).toBe(0);
    expect(dropped(1)).toBe(400);
    expect(dropped(0.25)).toBeGreaterThan(70);
    expect(dropped(0.25)).toBeLessThan(130);
    expect(noised(0).labels).toEqual(labels);
  });

  it('depends on nothing but the generator', () => {
    expect(noised(0.5, 3)).toEqual(noised(0.5, 3));
    expect(noised(0.5, 3)).not.toEqual(noised(0.5, 4));
  });

  it.each(PREDICTIONS)('has the target of the prediction %s', (prediction) => {
    const path = createNoiseSchedule(prediction === 'flow' ? 'flow' : 'linear');
    const batch = noiseBatch(
      tinyConfig({ prediction }),
      path,
      clean,
      labels,
      { labelDrop: 0 },
      new Generator(5),
    );
    for (let i = 0; i < clean.data.length; i += 101) {
      const { signal, noise } = noiseLevel(path, batch.timesteps[Math.floor(i / 16)] ?? 0);
      const epsilon = ((batch.noised.data[i] ?? 0) - signal * 0.5) / noise;
      const target = { epsilon, v: signal * epsilon - noise * 0.5, sample: 0.5, flow: epsilon - 0.5 }[
        prediction
      ];
      expect(Math.abs((batch.target.data[i] ?? 0) - target)).toBeLessThan(1e-6 / noise);
    }
    expect(batch.clean).toBe(clean);
  });

  it('has one timestep per sample if asked to', () => {
    const options = { labelDrop: 0, timestepPer: 'sample' } as const;
    const { timesteps } = noiseBatch(config, schedule, clean, labels, options, new Generator(6));
    const bySample = Array.from(
      { length: 400 },
      (_, n) => new Set(Array.from(timesteps).slice(4 * n, 4 * n + 4)),
    );
    expect(bySample.every((drawn) => drawn.size === 1)).toBe(true);
    expect(new Set(Array.from(timesteps)).size).toBeGreaterThan(200);
  });

  it('noises the context, and nothing else, to the timestep of the model', () => {
    const contextNoise = 200;
    const batch = (contextConfig: AcditConfig) =>
      noiseBatch(contextConfig, schedule, clean, labels, { labelDrop: 0.5 }, new Generator(7));
    const { clean: context, ...rest } = batch(tinyConfig({ contextNoise }));
    const { clean: unchanged, ...same } = batch(config);
    expect(rest).toEqual(same);
    expect(unchanged).toBe(clean);
    const { signal, noise } = noiseLevel(schedule, contextNoise);
    const mean = context.data.reduce((sum, value) => sum + value, 0) / context.data.length;
    const variance = context.data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / context.data.length;
    expect(mean).toBeCloseTo(0.5 * signal, 2);
    expect(Math.sqrt(variance)).toBeCloseTo(noise, 2);
  });
});
