/** @file The machine's own matrix-product speed, which all other speeds are a share of. */

import { matmul } from '../src/graph/operators/index.ts';
import { input } from '../src/graph/symbolic.ts';
import type { Device } from '../src/runtime/device.ts';
import { zeros } from '../src/tensor/tensor.ts';

/** One product (1024, 1152) x (1152, 4608), the widest of an XL layer's shapes. */
const ROWS = 1024;
const INNER = 1152;
const COLUMNS = 4608;

export interface MatrixSpeed {
  /** Runs the product a few times and returns the GFLOP/s of the median, as what is compared with it is a median. */
  measure(): Promise<number>;
}

export async function compileMatrixSpeed(device: Device): Promise<MatrixSpeed> {
  const a = input('a', [ROWS, INNER]);
  const b = input('b', [INNER, COLUMNS]);
  const program = await device.compile({ inputs: [a, b], outputs: { product: matmul(a, b) } });
  const feeds = { a: zeros('float32', [ROWS, INNER]), b: zeros('float32', [INNER, COLUMNS]) };
  for (const { data } of Object.values(feeds))
    for (let i = 0; i < data.length; i++) data[i] = (i % 17) / 17 - 0.5;
  const into = { product: zeros('float32', [ROWS, COLUMNS]) };
  return {
    async measure() {
      const runs: number[] = [];
      for (let i = 0; i < 7; i++) runs.push(await time(() => program.run(feeds, into)));
      return (2 * ROWS * INNER * COLUMNS) / median(runs) / 1e6;
    },
  };
}

/** Milliseconds that `work` takes. */
export async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
