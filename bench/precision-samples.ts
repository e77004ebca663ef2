/**
 * @file How far samples in 8 bits are from those in float32 with the same noise, in decibels: the peak signal-to-noise ratio of
 * latents from -1 to 1.
 * Usage: npm run bench:precision-samples -- [model: fashion-mnist] [samples: 20] [steps: 25] [seed: 3]
 * Sample number i has label i, modulo the model's classes.
 */

import { at } from '../src/at.ts';
import { loadModel } from '../src/checkpoints/load.ts';
import { modelPath } from '../src/runs/model-path.ts';
import { openCpu } from '../src/runtime/node.ts';
import type { Precision } from '../src/sampling/precision.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { samplesToNoise } from '../test/support/signal-to-noise.ts';
import { processor } from './processor.ts';

const [name = 'fashion-mnist', samples = '20', steps = '25', seed = '3'] = process.argv.slice(2);
const device = openCpu();
const model = await loadModel(await modelPath(name));

async function latentsIn(precision: Precision): Promise<Tensor<'float32'>> {
  const sampler = await createSampler({ ...model, device, precision });
  if (sampler.precision !== precision) throw new Error(`${precision} computes wrongly here`);
  const labels = Array.from({ length: Number(samples) }, (_, i) => i % model.config.classes);
  const latents = await finalLatents(
    sampler.sample({ labels, steps: Number(steps), seed: Number(seed), preset: 'exact' }),
  );
  await sampler.dispose();
  return latents;
}

const decibels = samplesToNoise(await latentsIn('fp32'), await latentsIn('int8'));
const quantile = (share: number): string => at(decibels, Math.floor(share * decibels.length)).toFixed(1);
console.log(processor());
console.log(
  `${name}, ${samples} samples of ${steps} steps, seed ${seed}: median ${quantile(0.5)} dB, a tenth at most ${quantile(0.1)} dB, ` +
    `the worst ${quantile(0)} dB`,
);
await device.dispose();
