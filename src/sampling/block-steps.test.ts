import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { createNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { createSolver, solversOf } from '../diffusion/solvers/index.ts';
import { logSnrTimesteps } from '../diffusion/timesteps.ts';
import { openCpu } from '../runtime/node.ts';
import { createSampler, finalLatents, type SampleRequest } from './sampler.ts';

const cpu = openCpu({ threads: 1 });
afterAll(() => cpu.dispose());

describe.each(['epsilon', 'flow'] as const)('samples of a model that predicts %s', (prediction) => {
  const config = { ...tinyPixels, prediction };
  const path = prediction === 'flow' ? 'flow' : 'linear';
  const sample = async (request: Partial<SampleRequest>): Promise<Float32Array> => {
    const sampler = await createSampler({ config, weights: formulaWeights(config), device: cpu });
    const { data } = await finalLatents(sampler.sample({ labels: [0, 1], seed: 3, ...request }));
    await sampler.dispose();
    return data;
  };

  it.each(solversOf(path))('are the same bits at listed timesteps: %s', async (solver) => {
    const schedule = createNoiseSchedule(path);
    const uniform = await sample({ solver, steps: 5 });
    const { timesteps } = createSolver(solver, schedule, 5);
    expect(await sample({ solver, timesteps: 'uniform', steps: 5 })).toEqual(uniform);
    expect(await sample({ solver, timesteps })).toEqual(uniform);
    const spaced = await sample({ solver, timesteps: 'logsnr', steps: 5 });
    expect(spaced).not.toEqual(uniform);
    expect(await sample({ solver, timesteps: logSnrTimesteps(schedule, 5) })).toEqual(spaced);
  });

  it('may have other timesteps in each block, whose earlier blocks stay the same', async () => {
    const last = [999, 500, 30];
    const mixed = await sample({ timesteps: [[999, 400], [999, 400], [999, 400], last] });
    const same = await sample({ timesteps: [999, 400] });
    const size = mixed.length / 2 / config.blocks; // (2, T, B, C)
    expect(mixed.slice(0, 3 * size)).toEqual(same.slice(0, 3 * size));
    expect(mixed.slice(3 * size, 4 * size)).not.toEqual(same.slice(3 * size, 4 * size));
  });
});
