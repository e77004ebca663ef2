import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { relativeError } from '../../test/support/golden.ts';
import { tinyClips, tinyConfig } from '../../test/support/tiny-config.ts';
import { ACDIT_SIZES, type AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { createSampler, finalLatents, type SampleRequest } from './sampler.ts';
import { stepsWhole } from './whole-step.ts';

const cpu = openCpu({ threads: 1 });
afterAll(() => cpu.dispose());

/** The CPU as if it had a memory of its own, which counts what is compiled, and what runs. */
function apart(): { device: Device; runs: () => number; alive: () => number } {
  let [runs, alive] = [0, 0];
  const device: Device = {
    ...cpu,
    separateMemory: true,
    async compile(graph, bound) {
      const program = await cpu.compile(graph, bound);
      alive++;
      return {
        ...program,
        run(feeds, into) {
          runs++;
          return program.run(feeds, into);
        },
        async dispose() {
          alive--;
          await program.dispose();
        },
      };
    },
  };
  return { device, runs: () => runs, alive: () => alive };
}

describe('whole steps', () => {
  it.each([
    ['with guidance', tinyConfig(), { labels: [0, 1, 2], cfg: 2 }],
    ['at some noise levels', tinyConfig(), { labels: [0, 2], guidance: { scale: 2, interval: [-9, 0] } }],
    ['without', tinyConfig(), { labels: [1], cfg: 1 }],
    ['over a sliding window', tinyClips, { labels: [2, 0], cfg: [2, 1, 2, 2, 1, 2], blocks: 6, window: 2 }],
  ] satisfies [string, AcditConfig, SampleRequest][])(
    'give what segments give, %s',
    async (_, config, request) => {
      const weights = formulaWeights(config);
      const [segments, whole] = await Promise.all(
        [cpu, apart().device].map((device) => createSampler({ config, weights, device })),
      );
      const wanted = await finalLatents(segments.sample({ ...request, steps: 3, seed: 4 }));
      const got = await finalLatents(whole.sample({ ...request, steps: 3, seed: 4 }));
      expect(relativeError(got, wanted)).toBeLessThan(1e-5);
      expect(got).not.toEqual(await finalLatents(whole.sample({ ...request, steps: 3, seed: 5 })));
    },
  );

  it('take one run each', async () => {
    const config = tinyConfig();
    const { device, runs } = apart();
    const sampler = await createSampler({ config, weights: formulaWeights(config), device });
    const runsOf = async (steps: number): Promise<number> => {
      const before = runs();
      await finalLatents(sampler.sample({ labels: [0], steps, seed: 1 }));
      return runs() - before;
    };
    expect((await runsOf(9)) - (await runsOf(4))).toBe(5 * config.blocks);
    await sampler.dispose();
  });

  it('keep a few programs only, and give all back', async () => {
    const config = tinyConfig();
    const { device, alive } = apart();
    const sampler = await createSampler({ config, weights: formulaWeights(config), device });
    const sample = (count: number) =>
      finalLatents(sampler.sample({ labels: Array<number>(count).fill(0), steps: 1, seed: 1 }));
    const first = await sample(1);
    // A finished block joins the cache by programs of 8, 4, 2 and 1 samples.
    for (const count of [2, 4, 8]) await sample(count);
    const most = alive();
    for (const count of [3, 5, 7, 9, 11]) {
      await sample(count);
      expect(alive()).toBe(most);
    }
    expect(await sample(1)).toEqual(first);
    await sampler.dispose();
    expect(alive()).toBe(0);
  });

  it('are for small models on devices with a memory of their own', () => {
    const { device } = apart();
    expect(stepsWhole(device, tinyConfig())).toBe(true);
    expect(stepsWhole(cpu, tinyConfig())).toBe(false);
    expect(stepsWhole(device, { ...tinyConfig(), ...ACDIT_SIZES.XL })).toBe(false);
  });
});
