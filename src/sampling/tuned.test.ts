import { describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyClips, tinyConfig } from '../../test/support/tiny-config.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { secondOrderWeights } from '../diffusion/solvers/multistep.ts';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { openCpu } from '../runtime/node.ts';
import { planSampling } from './request.ts';
import { createSampler, finalLatents, type SampleEvent } from './sampler.ts';
import type { SettingsRequest } from './settings.ts';

const TIMESTEPS = [999, 700, 300, 40];
const schedule = linearNoiseSchedule();

/** Steps that are those of DPM-Solver++ 2M; later blocks have one step fewer. */
function solverFor(config: AcditConfig): TunedSolver {
  const blocks = Array.from({ length: config.blocks }, (_, block) => {
    const timesteps = block === 0 ? TIMESTEPS : TIMESTEPS.toSpliced(2, 1);
    return { timesteps, weights: secondOrderWeights(schedule, timesteps) };
  });
  return { defaultSteps: 4, solvers: [{ steps: 4, blocks }] };
}

async function samples(config: AcditConfig, request: SettingsRequest & { blocks?: number }) {
  const sampler = await createSampler({ config, weights: formulaWeights(config), device: openCpu() });
  const events: SampleEvent[] = [];
  for await (const event of sampler.sample({ labels: [1, 0], seed: 5, ...request })) events.push(event);
  await sampler.dispose();
  const done = events.at(-1);
  return { events, latents: done?.kind === 'done' ? done.latents.data : new Float32Array() };
}

describe('the tuned solver', () => {
  const config = tinyConfig();
  const tuned = solverFor(config);

  it('takes the steps of each block, by default those of its default', async () => {
    const { events, latents } = await samples(config, { solver: 'tuned', tuned });
    const counts = [0, 1, 2, 3].map(
      (block) => events.filter((e) => e.kind === 'step' && e.block === block).length,
    );
    expect(counts).toEqual([4, 3, 3, 3]);
    const timesteps = tuned.solvers[0].blocks.map((path) => path.timesteps);
    const same = await samples(config, { timesteps });
    const largest = Math.max(...same.latents.map(Math.abs));
    for (const [i, value] of latents.entries()) {
      expect(Math.abs(value - same.latents[i])).toBeLessThan(1e-5 * largest);
    }
  });

  it('weighs each block by its own weights, also where the timesteps are those of another', async () => {
    const path = (second: readonly number[]) => ({ timesteps: [999, 300], weights: [[1], second] });
    const ofWeights = (...seconds: number[][]): TunedSolver => ({
      defaultSteps: 2,
      solvers: [{ steps: 2, blocks: seconds.map(path) }],
    });
    const [same, other] = [[1], [1.5, -0.5]];
    const sample = async (tuned: TunedSolver) =>
      (await samples(config, { solver: 'tuned', tuned, cfg: 1 })).latents;
    const mixed = await sample(ofWeights(same, same, same, other));
    const plain = await sample(ofWeights(same, same, same, same));
    const size = mixed.length / 2 / config.blocks; // (2, T, B, C)
    expect(mixed.slice(0, 3 * size)).toEqual(plain.slice(0, 3 * size));
    expect(mixed.slice(3 * size, 4 * size)).not.toEqual(plain.slice(3 * size, 4 * size));
  });

  it.each<[string, TunedSolver, string]>([
    [
      'of another number of blocks',
      solverFor(tinyConfig({ blockSize: 16, blocks: 1 })),
      'has steps for 1 blocks',
    ],
    [
      'with timesteps that are none',
      {
        defaultSteps: 1,
        solvers: [{ steps: 1, blocks: Array(4).fill({ timesteps: [Number.NaN], weights: [[1]] }) }],
      },
      'block 1 of the solver with 1 steps: timesteps must be',
    ],
    ['that is none', {} as TunedSolver, 'must be a tuned solver'],
  ])('%s is refused', (_, wrong, problem) => {
    expect(() => planSampling(config, { labels: [0], solver: 'tuned', tuned: wrong })).toThrow(
      `sample: tuned ${problem}`,
    );
  });

  it('has for longer videos the steps of the last block', async () => {
    const own = solverFor(tinyClips);
    const { events } = await samples(tinyClips, { solver: 'tuned', tuned: own, blocks: 6 });
    expect(events.filter((event) => event.kind === 'step')).toHaveLength(4 + 5 * 3);
  });

  it('makes a plan that is itself a request for the same plan', () => {
    const plan = planSampling(config, { labels: [0], solver: 'tuned', tuned });
    expect(plan).toMatchObject({ steps: [4, 3, 3, 3], passes: [8, 6, 6, 6], solver: 'tuned' });
    expect(planSampling(config, plan)).toEqual(plan);
  });

  it.each<[string, SettingsRequest, RegExp]>([
    ['solver', {}, /solver cannot be tuned, since no solver is given/],
    ['steps', { tuned, steps: 5 }, /steps must be one of 4, which the tuned solver was fitted for, got 5/],
    ['steps', { tuned, steps: [4, 4, 4, 4] }, /steps must be 4 for the tuned solver, which takes 4\/3\/3\/3/],
    ['timesteps', { tuned, timesteps: 'logsnr' }, /timesteps must be left out for the tuned solver/],
  ])('refuses a wrong request: %s', (field, request, message) => {
    const wrong = () => planSampling(config, { labels: [0], solver: 'tuned', ...request });
    expect(wrong).toThrow(message);
    expect(wrong).toThrow(expect.objectContaining({ field }));
  });

  it('is for every noise schedule', async () => {
    const flow = tinyConfig({ prediction: 'flow' });
    const latents = await (async () => {
      const sampler = await createSampler({ config: flow, weights: formulaWeights(flow), device: openCpu() });
      const result = await finalLatents(sampler.sample({ labels: [0], solver: 'tuned', tuned }));
      await sampler.dispose();
      return result;
    })();
    expect(latents.data.every(Number.isFinite)).toBe(true);
  });
});
