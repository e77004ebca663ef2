import { afterAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { linearNoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { compileWholePass } from '../../src/training/compile-gradient-pass.ts';
import type { GradientPass } from '../../src/training/gradient-pass.ts';
import { compileLayeredPass } from '../../src/training/layered-pass.ts';
import { noiseBlocks } from '../../src/training/noising.ts';
import { clipFactor, compileOptimizer, initialState, zerosLike } from '../../src/training/optimizer.ts';
import { golden, relativeError } from '../support/golden.ts';

const device = openCpu();
afterAll(() => device.dispose());

const TOLERANCE = 1e-4;
const PASSES: [string, (config: AcditConfig, samples: number) => Promise<GradientPass>][] = [
  ['layer by layer', (config, samples) => compileLayeredPass(device, config, samples, 'save')],
  [
    'with activations computed again',
    (config, samples) => compileLayeredPass(device, config, samples, 'recompute'),
  ],
  ['as one program', (config, samples) => compileWholePass(device, config, samples)],
];
const AFTER = 'train.after3.';

function change(before: Tensor<'float32'>, after: Tensor<'float32'>): Pick<Tensor, 'data'> {
  return { data: after.data.map((value, i) => value - before.data[i]) };
}

async function readGolden(name: string) {
  const numbers = await openNpz(await openFile(golden(`${name}.npz`)));
  const read = async (member: string): Promise<Tensor<'float32'>> =>
    (await numbers.read(member)) as Tensor<'float32'>;
  const list = async (member: string): Promise<number[]> =>
    Array.from((await numbers.read(member)).data, Number);
  const batch = {
    clean: await read('train.clean'),
    target: await read('train.noise'),
    noised: await read('train.noised'),
    timesteps: await list('train.timesteps'),
    labels: await list('train.labels'),
  };
  const number = async (member: string): Promise<number> => (await list(member))[0];
  return { batch, read, number, names: numbers.names, close: () => numbers.close() };
}

describe.each(['image-tiny', 'video-tiny'])('%s trained as the official code does', (name) => {
  it('noises as the official code does', async () => {
    const { batch, close } = await readGolden(name);
    const noised = noiseBlocks(linearNoiseSchedule(), batch.clean, batch.target, batch.timesteps);
    expect(relativeError(noised, batch.noised)).toBeLessThan(1e-6);
    await close();
  });

  it.each(PASSES)('%s, meets gradients and three steps', async (_, compile) => {
    const { batch, read, number, names, close } = await readGolden(name);
    const { config, weights } = await loadModel(golden(`${name}.pt`));
    const pass = await compile(config, batch.labels.length);
    const optimizer = await compileOptimizer(device, {
      betas: [0.9, 0.95],
      epsilon: 1e-8,
      weightDecay: 0.05,
      ema: 0.999,
    });
    const start = new Map(
      [...weights].map(([parameter, value]) => [parameter, float32(value.shape, value.data.slice())]),
    );
    const state = initialState(weights);
    const gradients = zerosLike(weights);
    for (let step = 1; step <= 3; step++) {
      const { loss, prediction } = await pass.run(state.weights, batch, gradients);
      // Losses are recorded before the first step, and after the first and second.
      const expected = await number(step === 1 ? 'train.loss' : `train.step${step - 1}.loss`);
      expect(Math.abs(loss / expected - 1), `loss ${step}`).toBeLessThan(TOLERANCE);
      const norm = await optimizer.norm(gradients);
      if (step === 1) {
        expect(relativeError(prediction, await read('train.prediction'))).toBeLessThan(TOLERANCE);
        for (const [parameter, gradient] of gradients) {
          const error = relativeError(gradient, await read(`train.grad.${parameter}`));
          expect(error, parameter).toBeLessThan(TOLERANCE);
        }
        expect(Math.abs(norm / (await number('train.grad_norm')) - 1)).toBeLessThan(TOLERANCE);
      }
      const gradientScale = clipFactor(norm, 1);
      await optimizer.step(state, gradients, { learningRate: 1e-4, step, gradientScale });
    }
    const recorded = names.filter((member) => member.startsWith(AFTER));
    expect(recorded).toHaveLength(6);
    for (const member of recorded) {
      const parameter = member.slice(AFTER.length);
      const [before, after] = [start.get(parameter)!, state.weights.get(parameter)!];
      const expected = await read(member);
      expect(relativeError(after, expected), member).toBeLessThan(TOLERANCE);
      // Steps are small beside the weights, so they are compared on their own too.
      expect(relativeError(change(before, after), change(before, expected)), member).toBeLessThan(1e-2);
    }
    await pass.dispose();
    await optimizer.dispose();
    await close();
  });
});
