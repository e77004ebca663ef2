import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { tunedSolver } from '../../test/support/tiny-solver.ts';
import { openCpu } from '../runtime/node.ts';
import { planSampling, type SampleRequest } from './request.ts';
import { createSampler, finalLatents } from './sampler.ts';
import { resolveSettings, type SettingsRequest } from './settings.ts';

const cpu = openCpu({ threads: 1 });
afterAll(() => cpu.dispose());

const own = { scale: 3, interval: [-4.5, 2.5] as const };
const config = { ...tinyPixels, guidance: own };
/** Fitted for 3 and 5 steps, 3 by default, with guidance 2 in an interval. */
const tuned = tunedSolver(tinyPixels, [3, 5], { scale: 2, interval: [-2, 6] });
const resolved = (request: SettingsRequest, model = config) => resolveSettings(model, { tuned, ...request });

const exact = {
  preset: 'exact',
  steps: 25,
  timesteps: 'uniform',
  solver: 'dpm-solver-plus-plus-2m',
  guidance: own,
};
const fast = {
  preset: 'fast',
  steps: 3,
  timesteps: 'uniform',
  solver: 'tuned',
  guidance: { scale: 2, interval: [-2, 6] },
};

describe('presets', () => {
  it('are sets of defaults: exact, unless the model says fast', () => {
    expect(resolved({})).toEqual(exact);
    expect(resolved({ preset: 'exact' })).toEqual(exact);
    expect(resolved({ preset: 'fast' })).toEqual(fast);
    const model = { ...config, preset: 'fast' as const };
    expect(resolved({}, model)).toEqual(fast);
    expect(resolved({ preset: 'exact' }, model)).toEqual(exact);
  });

  it.each<[SettingsRequest, object]>([
    [{ steps: 12 }, { ...exact, steps: 12 }],
    [{ solver: 'ddim' }, { ...exact, solver: 'ddim' }],
    [{ timesteps: 'logsnr' }, { ...exact, timesteps: 'logsnr' }],
    [{ timesteps: [999, 5] }, { ...exact, timesteps: [999, 5], steps: 2 }],
    [{ solver: 'tuned' }, { ...exact, solver: 'tuned', steps: 3 }],
  ])('mean exact if %j is given without one, even of a model that says fast', (request, settings) => {
    for (const model of [config, { ...config, preset: 'fast' as const }]) {
      expect(resolved(request, model)).toEqual(settings);
    }
  });

  it.each<[SettingsRequest, object]>([
    [{ steps: 5 }, { steps: 5 }],
    [{ cfg: 4 }, { guidance: { scale: 4 } }],
    [{ guidance: { scale: 4 } }, { guidance: { scale: 4 } }],
    [{ guidance: { interval: [-1, 1] } }, { guidance: { scale: 2, interval: [-1, 1] } }],
    [{ solver: 'ddim' }, { solver: 'ddim', timesteps: 'logsnr' }],
    [
      { solver: 'ddim', timesteps: 'uniform', steps: 9 },
      { solver: 'ddim', timesteps: 'uniform', steps: 9 },
    ],
  ])('leave what is given as it is: fast with %j', (request, changed) => {
    expect(resolved({ preset: 'fast', ...request })).toEqual({ ...fast, ...changed });
  });

  it('leave a guidance scale as it is, at all noise levels: exact too', () => {
    expect(resolved({ cfg: 2 }).guidance).toEqual({ scale: 2 });
    expect(resolved({ cfg: 2 }, { ...config, preset: 'fast' })).toEqual({ ...fast, guidance: { scale: 2 } });
  });

  it('fall back to the guidance of the model where that of the solver is not known', () => {
    const { guidance: _, ...unknown } = tuned;
    expect(resolveSettings(config, { tuned: unknown, preset: 'fast' }).guidance).toEqual(own);
  });

  it('refuse steps that the solver was not fitted for, and list those it was', () => {
    const plan = () => planSampling(config, { labels: [0], tuned, preset: 'fast', steps: 4 });
    expect(plan).toThrow('steps must be one of 3, 5, which the tuned solver was fitted for, got 4');
    const listed = () => planSampling(config, { labels: [0], tuned, preset: 'fast', timesteps: [999, 9] });
    expect(listed).toThrow(expect.objectContaining({ field: expect.stringMatching(/steps$/) }));
  });

  it('that are none, or that have no solver, are refused', () => {
    const refused = (request: object, message: string, model = config) =>
      expect(() => resolveSettings(model, request)).toThrow(message);
    refused({ preset: 'quick' }, "sample: preset must be one of exact, fast, got 'quick'");
    refused({ preset: 'fast' }, 'sample: preset must be exact, since there is no solver');
    refused({}, 'preset of the model is fast, but the solver', {
      ...config,
      preset: 'fast',
    } as typeof config);
  });

  it.each<[unknown, string]>([
    [{ scal: 3 }, "'scal'"],
    ['3', '3'],
    [[2], 'a list'],
    [null, 'null'],
  ])('refuse the guidance %j, which would have no effect', (guidance, got) => {
    const plan = () => planSampling(config, { labels: [0], guidance: guidance as object });
    expect(plan).toThrow(`sample: guidance must be an object of scale, interval, schedule, got ${got}`);
  });

  it('refuse timesteps of which one block has none', () => {
    const timesteps = [[999, 9], null] as unknown as number[][];
    expect(() => planSampling(config, { labels: [0], timesteps })).toThrow('sample: timesteps must be');
  });

  it('refuse more blocks than can be planned, and an interval that guides none of many steps', () => {
    const plan = (request: SettingsRequest & { blocks: number }) => () =>
      planSampling(tinyClips, { labels: [0], ...request });
    expect(plan({ blocks: 1e9 })).toThrow('sample: blocks must be at most 65536, got 1000000000');
    const long = { blocks: 2000, steps: 1000, guidance: { scale: 3, interval: [100, 101] as const } };
    expect(plan(long)).toThrow('guidance.interval must contain');
  });

  it('plan a request that is itself one for the same plan', () => {
    for (const request of [{ preset: 'fast' }, { preset: 'fast', cfg: 2 }, {}] as SettingsRequest[]) {
      const plan = planSampling({ ...config, preset: 'fast' }, { labels: [0], tuned, ...request });
      expect(planSampling(config, plan)).toEqual(plan);
      expect(plan.solver).toBe('tuned');
    }
  });

  it('count the passes of the fast one', () => {
    // Ratios of -10.1, -2.5 and 5.05: of three steps, the last one is guided.
    expect(planSampling(config, { labels: [0], tuned, preset: 'fast' }).passes).toEqual([4, 4, 4, 4]);
    const longer = { labels: [0], tuned: tunedSolver(tinyClips, [2, 3]), preset: 'fast', blocks: 6 } as const;
    expect(planSampling(tinyClips, longer).passes).toEqual(Array(6).fill(4));
  });
});

describe('a sampler with a tuned solver', () => {
  it('samples with it by the preset, as with what it stands for', async () => {
    const model = { ...config, preset: 'fast' as const };
    const sampler = await createSampler({
      config: model,
      weights: formulaWeights(model),
      device: cpu,
      tuned,
    });
    const sample = async (request: Partial<SampleRequest>) =>
      (await finalLatents(sampler.sample({ labels: [1], seed: 7, ...request }))).data;
    const byDefault = await sample({});
    expect(await sample({ preset: 'fast' })).toEqual(byDefault);
    expect(
      await sample({ solver: 'tuned', steps: 3, guidance: { ...fast.guidance, interval: [-2, 6] } }),
    ).toEqual(byDefault);
    const official = await sample({ preset: 'exact', steps: 4 });
    expect(official).not.toEqual(byDefault);
    expect(await sample({ steps: 4 })).toEqual(official);
    await sampler.dispose();
  });
});
