/** @file What the SCAM loss draws at random: a timestep for each block, noise, and which labels are dropped. */

import { addNoise, type NoiseSchedule } from '../diffusion/noise-schedule.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import type { NoisedBatch } from './gradient-pass.ts';

/** Noise each block of `clean` (N, T, B, C) to a timestep of its own, and drop labels for guidance. */
export function noiseBatch(
  config: AcditConfig,
  schedule: NoiseSchedule,
  clean: Tensor<'float32'>,
  labels: ArrayLike<number>,
  labelDrop: number,
  generator: Generator,
): NoisedBatch {
  const [samples, blocks] = clean.shape;
  const timesteps = generator.randint(0, schedule.trainSteps, samples * blocks);
  const noise = float32(clean.shape, generator.randn(clean.data.length));
  const drops = generator.rand(samples);
  return {
    clean,
    noise,
    noised: noiseBlocks(schedule, clean, noise, timesteps),
    timesteps,
    labels: Array.from(drops, (value, n) => (value < labelDrop ? config.classes : labels[n])),
  };
}

/** sqrt(ᾱ) x + sqrt(1 - ᾱ) ε, with one timestep a block. */
export function noiseBlocks(
  schedule: NoiseSchedule,
  clean: Tensor<'float32'>,
  noise: Tensor<'float32'>,
  timesteps: ArrayLike<number>,
): Tensor<'float32'> {
  const size = elementCount(clean.shape.slice(2));
  const out = new Float32Array(clean.data.length);
  for (let block = 0; block < timesteps.length; block++) {
    const from = block * size;
    const to = from + size;
    out.set(
      addNoise(schedule, clean.data.subarray(from, to), noise.data.subarray(from, to), timesteps[block]),
      from,
    );
  }
  return float32(clean.shape, out);
}
