/** @file The memory that sampling takes, from the sizes of what it holds; checked against measured peaks. */

import { attentionOf } from '../models/acdit/attention.ts';
import { type AcditConfig, passConfig } from '../models/acdit/config.ts';
import { layerWeightShapes, parameters } from '../models/acdit/weights.ts';
import { elementCount } from '../tensor/tensor.ts';
import { modulationSize } from './modulation-table.ts';
import type { Precision } from './precision.ts';
import { planLength, type SampleRequest } from './request.ts';

/** Bytes at the peak, by what they are for. */
export interface SamplingMemory {
  /** The layers as ONNX Runtime arranges them, with what it arranged them from and does not give back. */
  readonly weights: number;
  /** Keys and values of the finished blocks; where the cache slides, keys before rotation too. */
  readonly cache: number;
  readonly modulations: number;
  /** What passes through a layer. */
  readonly activations: number;
  /** Node, ONNX Runtime, and this package. */
  readonly program: number;
  readonly total: number;
}

const FLOAT = 4;
/** Bytes of a weight. */
const WEIGHT_BYTES: Readonly<Record<Precision, number>> = { fp32: 4, fp16: 2, int8: 1 };
/** Bytes of a process that has loaded everything and sampled from a tiny model. */
const PROGRAM = 190e6;
/** Weights that are bound to a program, in bytes of memory per byte of theirs. */
const BOUND = 1.4;
/** (N, B, C) tensors that are there at once: in, out, query, key, value and attended, */
const VECTORS = 6;
/** and those inside a layer's feed-forward network. */
const WIDE_VECTORS = 4;
/** A layer's keys and values of all blocks: cut by heads, joined, and the slack of ONNX Runtime's arena. */
const ATTENTION_COPIES = 4;

/** Returns the bytes of hidden vectors of one row, a block of one sample in one branch, in a layer. */
export function rowBytes({ blockSize, hidden, mlpRatio }: AcditConfig): number {
  return FLOAT * blockSize * hidden * (VECTORS + WIDE_VECTORS * mlpRatio);
}

/** What determines the memory of sampling. */
export interface SamplingExtent {
  readonly guided: boolean;
  /** Solver steps per block, whose modulations are computed at once. */
  readonly steps: number;
  /** See {@link SampleRequest}. */
  readonly blocks?: number | undefined;
  readonly window?: number | undefined;
  /** How the layers' weights are held (default: fp32). */
  readonly precision?: Precision | undefined;
}

/** @throws {ArgumentError} if the model cannot make this many blocks, or attend this many earlier ones. */
export function samplingMemory(
  config: AcditConfig,
  samples: number,
  { guided, steps, precision = 'fp32', ...extent }: SamplingExtent,
): SamplingMemory {
  const { layers, hidden, blockSize } = passConfig(config);
  const { blocks, window, slides } = planLength(config, extent);
  const { held, caches } = cacheExtent(config, blocks, window, guided);
  const layer = Object.entries(layerWeightShapes(config)).filter(([name]) => !name.startsWith('adaLN'));
  const layerBytes = FLOAT * layer.reduce((sum, [, shape]) => sum + elementCount(shape), 0);
  const largest = FLOAT * Math.max(...[...parameters(config).values()].map(elementCount));
  const branches = guided ? 2 : 1;
  const tokens = samples * blockSize;
  // While a block joins the cache, the cache without it is still there. A cache that slides has its keys before rotation
  // as well, and while a block leaves, the cache before the newest joined is garbage not yet collected.
  const drops = slides || held < blocks - 1;
  const cachedBlocks = drops ? caches * (3 * held + 1) : Math.max(0, caches * (2 * held - 1));
  const cachedKinds = slides ? 3 : 2;
  const conditions = Math.min(branches * samples, config.classes + 1) * steps;
  const parts = {
    // Where weights are rounded, a layer is there once more while that is done.
    weights:
      (BOUND * layers * layerBytes * WEIGHT_BYTES[precision]) / FLOAT +
      (precision === 'fp32' ? 2 : 3) * layerBytes +
      largest,
    cache: FLOAT * cachedKinds * layers * hidden * tokens * cachedBlocks,
    modulations: FLOAT * modulationSize(config) * conditions,
    activations:
      branches * samples * rowBytes(passConfig(config)) +
      FLOAT * ATTENTION_COPIES * 2 * tokens * (held + 1) * hidden,
    program: PROGRAM,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/** Returns the most finished blocks that a cache holds, and how many caches there are: one, or one per guidance branch. */
function cacheExtent(config: AcditConfig, blocks: number, window: number, guided: boolean) {
  const { copies, together, fixed, kept } = attentionOf(config);
  if (together) return { held: 0, caches: 0 };
  // A window holds no fewer the later it is.
  const first = fixed ? 0 : blocks - 1;
  let held = 0;
  for (let next = first; next < blocks; next++) held = Math.max(held, kept(next, window).length);
  return { held, caches: copies || !guided ? 1 : 2 };
}
