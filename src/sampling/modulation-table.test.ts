import { describe, expect, it } from 'vitest';
import { randomWeights } from '../../test/support/random-weights.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { openCpu } from '../runtime/node.ts';
import { type Condition, compileModulations } from './modulation-table.ts';

describe('modulations', () => {
  it.each([24, 36, 192, 384])('do not depend on the number of threads (%i values)', async (hidden) => {
    const config = tinyConfig({ hidden, classes: 10 });
    const weights = randomWeights(config);
    const conditions = Array.from({ length: 70 }, (_, i): Condition => ({ timestep: 13 * i, label: i % 11 }));
    const rows = async (threads: number): Promise<Float32Array[]> => {
      const device = openCpu({ threads });
      const programs = await compileModulations(device, config, async (name) => weights.get(name)!);
      const table = await programs.compute(conditions);
      await device.dispose();
      return [0, 1, 2].flatMap((layer) => conditions.map((condition) => table.row(layer, condition).slice()));
    };
    const expected = await rows(1);
    for (const threads of [2, 3, 5]) expect(await rows(threads)).toEqual(expected);
  });

  // With one row a product takes another kernel; with three threads two rows of 192 values are split differently.
  it.each([
    [24, 1],
    [192, 1],
    [192, 3],
  ])(
    'of a condition do not depend on what is computed with them (%i values, %i threads)',
    async (hidden, threads) => {
      const config = tinyConfig({ hidden, classes: 10 });
      const weights = randomWeights(config);
      const device = openCpu({ threads });
      const programs = await compileModulations(device, config, async (name) => weights.get(name)!);
      const all = Array.from({ length: 70 }, (_, i): Condition => ({ timestep: 13 * i, label: i % 11 }));
      const together = await programs.compute(all);
      for (const [start, end] of [
        [0, 1],
        [0, 2],
        [1, 4],
        [2, 10],
        [63, 65],
        [69, 70],
        [5, 70],
      ]) {
        const some = all.slice(start, end);
        const table = await programs.compute(some);
        for (const condition of some) {
          for (let layer = 0; layer <= config.layers; layer++) {
            expect(table.row(layer, condition)).toEqual(together.row(layer, condition));
          }
        }
      }
      expect(together.has({ timestep: 1, label: 0 })).toBe(false);
      await device.dispose();
    },
  );
});
