import { afterAll, expect, it } from 'vitest';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import type { StoredModel } from '../checkpoints/load.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import { topologicalOrder } from '../graph/symbolic.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { silentReporter } from './reporter.ts';
import { guidanceRecord, noteSlowPrecision } from './sampling-plan.ts';

const device = openCpu();
afterAll(() => device.dispose());
const model = { config: tinyPixels } as StoredModel;

/** The CPU, on which programs with a certain operator take 20 ms more. */
function slowWith(operator: string): Device {
  return {
    ...device,
    async compile(graph, bound) {
      const program = await device.compile(graph, bound);
      const nodes = topologicalOrder(Object.values(graph.outputs));
      if (!nodes.some((node) => node.operator === operator)) return program;
      return {
        ...program,
        async run(feeds, into) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          return program.run(feeds, into);
        },
      };
    },
  };
}

it.each([
  ['MatMulIntegerToFloat', 'int8', ['int8 is slower than fp32 here']],
  ['Gemm', 'int8', []],
  ['MatMulIntegerToFloat', 'fp32', []],
  ['MatMulIntegerToFloat', undefined, []],
] as const)('where %s is slow, %s is noted rightly', async (operator, precision, expected) => {
  const notes: string[] = [];
  const report = { ...silentReporter, note: (text: string) => void notes.push(text) };
  await noteSlowPrecision({ model, device: slowWith(operator), precision }, report);
  expect(notes.map((note) => note.split(':')[0])).toEqual(expected);
});

it('guidance that means the same is recorded alike, so that files of samples resume', () => {
  const text = (guidance: Guidance) => JSON.stringify(guidanceRecord({ guidance }));
  const expected = JSON.stringify({ cfg: 2, guidance: { scale: 2, interval: [-2, 6] } });
  expect(text({ scale: 2, interval: [-2, 6] })).toBe(expected);
  expect(text({ interval: [-2, 6], schedule: 'constant', scale: 2 })).toBe(expected);
  expect(text({ scale: 2, schedule: 'constant' })).toBe('{"cfg":2}');
  expect(text({ scale: 2, schedule: 'linear' })).toContain('linear');
});
