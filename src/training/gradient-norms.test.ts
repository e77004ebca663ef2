import { expect, it } from 'vitest';
import { randomWeights } from '../../test/support/random-weights.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { createNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import { compileGradientPass } from './compile-gradient-pass.ts';
import { gradientSquares } from './gradient-norms.ts';
import { noiseBatch } from './noising.ts';
import { compileOptimizer, zerosLike } from './optimizer.ts';

it('norms by group are those of plain sums over the weights of each, and together the whole norm', async () => {
  const config = tinyConfig();
  const device = openCpu({ threads: 1 });
  const weights = randomWeights(config);
  const gradients = zerosLike(weights);
  const pass = await compileGradientPass(device, config, 2);
  const clean = float32([2, 4, 4, 4], new Generator(1).randn(128));
  const schedule = createNoiseSchedule('linear');
  await pass.run(
    weights,
    noiseBatch(config, schedule, clean, [0, 1], { labelDrop: 0 }, new Generator(2)),
    gradients,
  );
  const squares = gradientSquares();
  squares.add(gradients);
  const norms = squares.norms(0.5);

  const isIn: Record<string, (name: string) => boolean> = {
    embedding: (name) => name.includes('_embedder.'),
    final: (name) => name.startsWith('final_layer'),
    modulation: (name) => name.startsWith('blocks') && name.includes('adaLN'),
    attention: (name) => name.includes('.attn.'),
    mlp: (name) => name.startsWith('blocks') && name.includes('.mlp.'),
    norm: (name) => /^blocks\.\d+\.norm/.test(name),
  };
  expect(Object.keys(norms).sort()).toEqual(Object.keys(isIn).sort());
  let names = 0;
  for (const [group, has] of Object.entries(isIn)) {
    const own = [...gradients].filter(([name]) => has(name));
    names += own.length;
    const sum = own.flatMap(([, { data }]) => [...data]).reduce((total, value) => total + value * value, 0);
    expect(norms[group]).toBeGreaterThan(0);
    expect(norms[group] / (0.5 * Math.sqrt(sum))).toBeCloseTo(1, 10);
  }
  expect(names).toBe(gradients.size);
  const optimizer = await compileOptimizer(device, {
    betas: [0.9, 0.95],
    epsilon: 1e-8,
    weightDecay: 0,
    ema: 0,
  });
  const whole = await optimizer.norm(gradients);
  expect(Math.hypot(...Object.values(norms)) / (0.5 * whole)).toBeCloseTo(1, 5);
  await device.dispose();
});
