import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { relativeError } from '../../test/support/golden.ts';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import { createNoiseSchedule, linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { createSolver, solversOf } from '../diffusion/solvers/index.ts';
import { logSnrTimesteps } from '../diffusion/timesteps.ts';
import { openCpu } from '../runtime/node.ts';
import type { PassInfo } from './noise-predictor.ts';
import { planSampling } from './request.ts';
import { createSampler, finalLatents, type SampleEvent, type SampleRequest } from './sampler.ts';

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

  it('are the same bits in an interval that holds all noise levels, and without guidance in one where it is 1', async () => {
    const constant = await sample({ steps: 3, cfg: 2 });
    expect(await sample({ steps: 3, guidance: { scale: 2, interval: [-30, 30] } })).toEqual(constant);
    const plain = await sample({ steps: 3, cfg: 1 });
    expect(await sample({ steps: 3, guidance: { scale: 1, interval: [-5, 5] } })).toEqual(plain);
    expect(plain).not.toEqual(constant);
  });

  it('follow a schedule over blocks as they follow its scales', async () => {
    const linear = await sample({ steps: 2, guidance: { scale: 3, schedule: 'linear' } });
    expect(linear).toEqual(await sample({ steps: 2, cfg: [1.5, 2, 2.5, 3] }));
  });
});

type Step = SampleEvent & { readonly kind: 'step' };

/** The steps of the first block, and the rows of their passes. */
async function firstBlock(request: Partial<SampleRequest>): Promise<{ steps: Step[]; rows: number[] }> {
  const passes: PassInfo[] = [];
  const sampler = await createSampler({
    config: tinyPixels,
    weights: formulaWeights(tinyPixels),
    device: cpu,
    batching: { onPass: (pass) => passes.push(pass) },
  });
  const steps: Step[] = [];
  for await (const event of sampler.sample({ labels: [1], seed: 2, timesteps: 'logsnr', ...request })) {
    if (event.kind === 'step') steps.push(event);
    else break;
  }
  await sampler.dispose();
  return { steps, rows: passes.map(({ denoised }) => denoised) };
}

describe('steps outside an interval', () => {
  const valuesOf = (steps: readonly Step[]) => steps.map(({ latents, clean }) => [latents.data, clean.data]);

  it('are those without guidance, in one pass each, up to the first one inside', async () => {
    const plain = await firstBlock({ steps: 6, cfg: 1 });
    const guided = await firstBlock({ steps: 6, cfg: 3 });
    expect([plain.rows, guided.rows]).toEqual([Array(6).fill(1), Array(6).fill(2)]);
    // Six steps have ratios of -10.1, -7.1, -4.1, -1, 2 and 5.05.
    const late = await firstBlock({ steps: 6, guidance: { scale: 3, interval: [-5, 3] } });
    expect(late.rows).toEqual([1, 1, 2, 2, 2, 1]);
    expect(late.steps.map(({ passes }) => passes)).toEqual(late.rows);
    expect(valuesOf(late.steps.slice(0, 2))).toEqual(valuesOf(plain.steps.slice(0, 2)));
    expect(valuesOf(late.steps.slice(2))).not.toEqual(valuesOf(plain.steps.slice(2)));
    const early = await firstBlock({ steps: 6, guidance: { scale: 3, interval: [-11, -3] } });
    expect(early.rows).toEqual([2, 2, 2, 1, 1, 1]);
    expect(valuesOf(early.steps.slice(0, 3))).toEqual(valuesOf(guided.steps.slice(0, 3)));
  });

  it('and those inside continue one path: DPM-Solver++ 2M over the predictions that it used', async () => {
    const { signal, noise } = linearNoiseSchedule();
    const timesteps = [999, 836, 632, 359, 107, 20];
    const { steps } = await firstBlock({ timesteps, guidance: { scale: 3, interval: [-5, 3] } });
    const level = (i: number) => {
      const [a, s] = [signal[timesteps[i]!]!, noise[timesteps[i]!]!];
      return { a, s, half: Math.log(a / s) };
    };
    for (let i = 1; i < 5; i++) {
      const [before, from, to] = [level(i - 1), level(i), level(i + 1)];
      const h = to.half - from.half;
      const pull = -to.a * Math.expm1(-h);
      const ratio = (from.half - before.half) / h;
      const [x, clean, previous] = [
        steps[i - 1]!.latents.data,
        steps[i]!.clean.data,
        steps[i - 1]!.clean.data,
      ];
      const expected = x.map(
        (value, k) => (to.s / from.s) * value + pull * (clean[k]! + (clean[k]! - previous[k]!) / (2 * ratio)),
      );
      const error = expected.map((value, k) => Math.abs(value - steps[i]!.latents.data[k]!));
      expect(Math.max(...error)).toBeLessThan(1e-4);
    }
    // The last step ends at the clean prediction.
    expect(relativeError(steps[5]!.latents, steps[5]!.clean)).toBeLessThan(1e-6);
  });
});

describe('the guidance of a plan', () => {
  const own: Guidance = { scale: 3, interval: [-4.5, 2.5] };
  const model = { ...tinyPixels, guidance: own };
  const planned = (request: Partial<SampleRequest>, config = model) =>
    planSampling(config, { labels: [0], steps: 6, timesteps: 'logsnr', ...request });

  it("is the model's own, of which what is given without a scale replaces a part", () => {
    expect(planned({}).guidance).toEqual({ scale: [3, 3, 3, 3], interval: [-4.5, 2.5] });
    expect(planned({ guidance: { interval: [-1.5, 9] } }).guidance).toEqual({
      scale: [3, 3, 3, 3],
      interval: [-1.5, 9],
    });
    expect(planned({ guidance: { schedule: 'linear' } }).guidance).toEqual({
      scale: [1.5, 2, 2.5, 3],
      interval: [-4.5, 2.5],
    });
  });

  it('is a scale alone at all noise levels, if one is given', () => {
    expect(planned({ cfg: 2 }).guidance).toEqual({ scale: [2, 2, 2, 2] });
    expect(planned({ guidance: { scale: [1, 2, 3, 4] } }).guidance).toEqual({ scale: [1, 2, 3, 4] });
  });

  it('counts passes: two per guided step, one per other', () => {
    expect(planned({}).passes).toEqual([9, 9, 9, 9]);
    expect(planned({ cfg: 2 }).passes).toEqual([12, 12, 12, 12]);
    expect(planned({ cfg: [1, 0, 2, 1] }).passes).toEqual([6, 6, 12, 6]);
  });

  it('is itself a request for the same plan', () => {
    for (const request of [{}, { cfg: 2 }, { guidance: { interval: [-5, 5] as const } }]) {
      expect(planSampling(model, planned(request))).toEqual(planned(request));
    }
  });

  it('has a list of the model in as many blocks as there are', () => {
    const clips = { ...tinyClips, guidance: { scale: [1, 2, 3, 4] } };
    expect(planSampling(clips, { labels: [0], blocks: 6 }).guidance.scale).toEqual([1, 2, 3, 4, 4, 4]);
    expect(planSampling(clips, { labels: [0], blocks: 3 }).guidance.scale).toEqual([1, 2, 3]);
  });

  it.each<[string, Partial<SampleRequest>]>([
    ['guidance', { cfg: 2, guidance: { interval: [-1, 1] } }],
    ['guidance.scale', { guidance: { scale: -1 } }],
    ['guidance.scale', { guidance: { scale: [1, 2] } }],
    ['guidance.interval', { guidance: { interval: [2, -4] } }],
    ['guidance.interval', { guidance: { interval: [6, 9] } }],
    ['guidance.interval', { guidance: { scale: 2, interval: [-4, -2] }, steps: 2 }],
    ['guidance.schedule', { guidance: { scale: [1, 2, 3, 4], schedule: 'linear' } }],
  ])('names the field %s that is wrong: %j', (field, request) => {
    expect(() => planned(request)).toThrow(expect.objectContaining({ field }));
    expect(() => planned(request)).toThrow(`sample: ${field} must `);
  });
});
