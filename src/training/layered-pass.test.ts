import { afterAll, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { relativeError } from '../../test/support/golden.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { tokenSize } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import { compileWholePass } from './compile-gradient-pass.ts';
import { feedForwardPieces } from './gradient-graphs.ts';
import type { Activations, GradientPass } from './gradient-pass.ts';
import { compileLayeredPass } from './layered-pass.ts';
import { trainingMemory } from './memory.ts';
import { noiseBatch } from './noising.ts';
import { zerosLike } from './optimizer.ts';

const device = openCpu();
afterAll(() => device.dispose());

it('a network in pieces has the gradients of the model as one program, with the same bits if recomputed', async () => {
  const config = tinyConfig({ hidden: 100, heads: 5, mlpRatio: 20, layers: 4 });
  expect(feedForwardPieces(config)).toBe(3);
  const weights = formulaWeights(config);
  const shape = [2, config.blocks, config.blockSize, tokenSize(config)];
  const clean = float32(shape, new Generator(1).randn(shape.reduce((a, b) => a * b)));
  const batch = noiseBatch(config, linearNoiseSchedule(), clean, [0, 1], { labelDrop: 0 }, new Generator(2));
  const gradientsOf = async (pass: GradientPass): Promise<Weights> => {
    const gradients = zerosLike(weights);
    await pass.run(weights, batch, gradients);
    await pass.dispose();
    return gradients;
  };
  const saved = await gradientsOf(await compileLayeredPass(device, config, 2, 'save'));
  const recomputed = await Promise.all(
    (['recompute', { recompute: 2 }, { recompute: [2, 0] }, { recompute: [3] }] as const).map(
      async (activations) => gradientsOf(await compileLayeredPass(device, config, 2, activations)),
    ),
  );
  const whole = await gradientsOf(await compileWholePass(device, config, 2));
  for (const [name, gradient] of saved) {
    for (const again of recomputed) expect(again.get(name), name).toEqual(gradient);
    expect(relativeError(gradient, whole.get(name)!), name).toBeLessThan(2e-5);
  }
});

it('computes the chosen layers again, and needs the memory of the others', async () => {
  const config = tinyConfig({ layers: 6 });
  const activations = (chosen: Activations): number => trainingMemory(config, 2, chosen).activations;
  const [save, recompute] = [activations('save'), activations('recompute')];
  const layer = (save - recompute) / 4; // five layers share the memory of one, and the last keeps its own
  expect(activations({ recompute: 3 })).toBeCloseTo(save - 2 * layer, 6);
  expect(activations({ recompute: [4, 1] })).toBeCloseTo(save - layer, 6);
  expect(activations({ recompute: [5] })).toBe(save);
  expect(activations({ recompute: 6 })).toBe(recompute);
  const pass = compileLayeredPass(device, config, 2, { recompute: [6] });
  await expect(pass).rejects.toThrow(
    'training.activations: the model has no layer 6; its 6 layers are 0 to 5',
  );
});
