/** @file The machine's own matrix-product speed, the reference for all other speeds. */

import { at } from '../src/at.ts';
import { matmul } from '../src/graph/operators/index.ts';
import { input } from '../src/graph/symbolic.ts';
import type { Device } from '../src/runtime/device.ts';
import { zeros } from '../src/tensor/tensor.ts';

/** One product (1024, 1152) x (1152, 4608), the widest of an XL layer's shapes. */
const ROWS = 1024;
const INNER = 1152;
const COLUMNS = 4608;

/** Operations of the product: 2 for each multiply-add. */
const OPERATIONS = 2 * ROWS * INNER * COLUMNS;

export interface MatrixSpeed {
  /** Runs the product `count` times and returns the milliseconds of each. */
  measure(count: number): Promise<number[]>;
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
    async measure(count) {
      const runs: number[] = [];
      for (let i = 0; i < count; i++) runs.push(await time(() => program.run(feeds, into)));
      return runs;
    },
  };
}

/** How work compares with the product. */
export interface Comparison {
  /** Median time of the work. */
  readonly milliseconds: number;
  /** Median speed of the product, in GFLOP/s. */
  readonly speed: number;
  /** Operations per second that the work needs, as a share of the product's: of the medians, and of the faster quarters. */
  readonly share: number;
  readonly undisturbedShare: number;
}

/**
 * Times `work` in turns with the product, so that other load on the machine slows both equally.
 * @param products runs of the product after each run of the work
 */
export async function compareWithProduct(
  reference: MatrixSpeed,
  work: () => Promise<unknown>,
  { operations, repeats, products }: { operations: number; repeats: number; products: number },
): Promise<Comparison> {
  const runs: number[] = [];
  const references = await reference.measure(products);
  for (let i = 0; i < repeats; i++) {
    runs.push(await time(work));
    references.push(...(await reference.measure(products)));
  }
  const shareAt = (part: number): number =>
    operations / quantile(runs, part) / (OPERATIONS / quantile(references, part));
  return {
    milliseconds: median(runs),
    speed: OPERATIONS / median(references) / 1e6,
    share: shareAt(0.5),
    undisturbedShare: shareAt(0.25),
  };
}

export function describeComparison({ milliseconds, speed, share, undisturbedShare }: Comparison): string {
  const percent = (value: number): string => `${(value * 100).toFixed(1)}%`;
  return (
    `${milliseconds.toFixed(0)} ms, product ${speed.toFixed(0)} GFLOP/s, share ${percent(share)} ` +
    `(of the quicker quarters ${percent(undisturbedShare)})`
  );
}

/** Returns the milliseconds that `work` takes. */
export async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return at(sorted, Math.floor(values.length * part));
}
