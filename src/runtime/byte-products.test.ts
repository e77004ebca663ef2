import { afterAll, describe, expect, it } from 'vitest';
import { get } from '../at.ts';
import { weightBits } from './byte-products.ts';
import type { Device } from './device.ts';
import { openCpu } from './node.ts';

const cpu = openCpu();
afterAll(() => cpu.dispose());

/** The CPU, but its products come out otherwise: `alter` gets a value and the largest weight's magnitude. */
function altered(alter: (value: number, largest: number) => number): Device {
  return {
    ...cpu,
    async compile(graph, bound = {}) {
      const program = await cpu.compile(graph, bound);
      const largest = Math.max(...Array.from(get(bound, 'values').data, Number));
      return {
        ...program,
        async run(feeds) {
          const outputs = await program.run(feeds);
          const { data } = get(outputs, 'product');
          for (let i = 0; i < data.length; i++) data[i] = alter(Number(data[i]), largest);
          return outputs;
        },
      };
    },
  };
}

describe('bits of a weight', () => {
  it('are 8 or 7 on this processor', async () => {
    expect([8, 7]).toContain(await weightBits(cpu));
  });

  it('are 7 where sums of large products overflow', async () => {
    expect(await weightBits(altered((value, largest) => (largest > 63 ? value / 2 : value)))).toBe(7);
  });

  it('are none where all products are wrong', async () => {
    await expect(weightBits(altered((value) => -value))).rejects.toThrow('use precision fp32');
    await expect(weightBits(altered(() => Number.NaN))).rejects.toThrow('use precision fp32');
  });
});
