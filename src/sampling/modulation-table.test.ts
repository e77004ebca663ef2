import { describe, expect, it } from 'vitest';
import { randomWeights } from '../../test/support/random-weights.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { openCpu } from '../runtime/node.ts';
import { type Condition, compileModulations } from './modulation-table.ts';

describe('modulations', () => {
  // With one row a product takes another kernel; with three threads two rows of 192 values are cut into other pieces.
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
