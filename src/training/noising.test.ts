import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import { noiseBatch } from './noising.ts';

const config = tinyConfig();
const schedule = linearNoiseSchedule();
const shape = [400, 4, 4, 4];
const clean = float32(shape, new Float32Array(400 * 64).fill(0.5));
const labels = Array.from({ length: 400 }, (_, n) => n % 3);
const noised = (labelDrop: number, seed = 1) =>
  noiseBatch(config, schedule, clean, labels, labelDrop, Generator.seeded(seed));

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
      const expected = Math.sqrt(alpha) * 0.5 + Math.sqrt(1 - alpha) * batch.noise.data[i];
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
});
