/**
 * @file Whether a device's kernel for attention is right. WebGPU's takes groups of threads to be as large as they are on
 * most cards: on others (4 threads, in software) it is silently wrong from 32 queries on.
 */

import { at, float32At, get } from '../at.ts';
import { fuseAttention } from '../graph/fuse-attention.ts';
import { halveProducts } from '../graph/half.ts';
import { graphOf } from '../graph/onnx.ts';
import { attention } from '../graph/operators/index.ts';
import type { BoundGraph } from '../graph/quantize.ts';
import { input } from '../graph/symbolic.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import type { Device } from './device.ts';

const HEADS = 2;
/** Kernels for many queries begin at 32; there are a few more keys, as with a cache. */
const MOST_QUERIES = 64;
const MORE_KEYS = 37;

/** What may be lost, as a share of the largest value, which is about 1. */
const TOLERANCE = { fp32: 1e-3, fp16: 2e-2 };

/**
 * Checks whether attention of `queries` in heads of `size` as one operator comes out as its formula says.
 * @throws {DeviceError} if it cannot be run
 */
export async function attendsRightly(
  device: Device,
  queries: number,
  size: number,
  precision: keyof typeof TOLERANCE,
): Promise<boolean> {
  const generator = new Generator(1);
  const random = (tokens: number, scale: number): Tensor<'float32'> => {
    const shape = [1, HEADS, tokens, size];
    return float32(
      shape,
      generator.randn(elementCount(shape)).map((value) => value * scale),
    );
  };
  const rows = Math.min(queries, MOST_QUERIES);
  const feeds = {
    q: random(rows, 1 / Math.sqrt(size)),
    k: random(rows + MORE_KEYS, 1),
    v: random(rows + MORE_KEYS, 1),
  };
  const [q, k, v] = [
    input('q', feeds.q.shape),
    input('k', feeds.k.shape),
    input('v', feeds.v.shape),
  ] as const;
  const exact: BoundGraph = { graph: fuseAttention(graphOf({ y: attention(q, k, v) })), weights: {} };
  const { graph } =
    precision === 'fp16' ? halveProducts({ ...exact, weights: {} }, { isExact: () => false }) : exact;
  const program = await device.compile(graph);
  const { data } = get(await program.run(feeds), 'y');
  await program.dispose();
  return attended(feeds).every((value, i) => Math.abs(value - Number(data[i])) <= TOLERANCE[precision]);
}

/** softmax(q kᵀ) v, of each head. */
function attended({ q, k, v }: Record<'q' | 'k' | 'v', Tensor<'float32'>>): number[] {
  const [size, queries, keys] = [at(q.shape, -1), at(q.shape, -2), at(k.shape, -2)];
  const result: number[] = [];
  for (let row = 0; row < HEADS * queries; row++) {
    const first = Math.floor(row / queries) * keys;
    const weights = Array.from({ length: keys }, (_, key) => {
      let score = 0;
      for (let d = 0; d < size; d++)
        score += float32At(q.data, row * size + d) * float32At(k.data, (first + key) * size + d);
      return Math.exp(score);
    });
    const sum = weights.reduce((total, weight) => total + weight, 0);
    for (let d = 0; d < size; d++) {
      result.push(
        weights.reduce(
          (total, weight, key) => total + weight * float32At(v.data, (first + key) * size + d),
          0,
        ) / sum,
      );
    }
  }
  return result;
}
