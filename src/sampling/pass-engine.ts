/**
 * @file What runs the model in sampling: passes of blocks through its layers. There is an engine for each kind of device.
 * A pass takes any sequences at any place, whether a block's noise is to be predicted or a finished block joins the cache.
 */

import type { Tensor } from '../tensor/tensor.ts';
import type { Cache, CacheBlocks } from './cache.ts';
import type { Condition, ModulationTable } from './modulation-table.ts';

/** A block of N samples that have equally many finished blocks. It is noised, or clean and joins the cache. */
export interface Sequence<C extends Cache = Cache> {
  /** (N, B, token size) */
  readonly latents: Tensor<'float32'>;
  readonly cache: C;
  /** What the noise is predicted by, R x N conditions; a finished block has none. */
  readonly noised?: Conditioned;
  /** N conditions of a finished block, in models without clean copies; by default it is clean, and has none. */
  readonly finished?: Conditioned | undefined;
}

/** Conditions of blocks: a guidance branch's samples together, as in the official batch; and what holds their modulations. */
export interface Conditioned {
  readonly conditions: readonly Condition[];
  readonly table: ModulationTable;
}

/** What a pass makes of a sequence. */
export interface PassResult<C extends Cache = Cache> {
  /** Predicted noise (R, N, B, token size); R is 0 for a clean block. */
  readonly noise: Tensor<'float32'>;
  /** The cache; a clean block has joined it. */
  readonly cache: C;
}

/** Where the blocks of a new cache are. */
export interface Arrangement {
  /** The position of the block that attends them. */
  readonly place: number;
  /** New positions of the blocks, in sliding caches; by default they stay where they are. */
  readonly places?: readonly number[] | undefined;
}

/** Runs one pass at a time: its passes share scratch memory. The caches it gets are empty, or ones that it made. */
export interface PassEngine<C extends Cache = Cache> {
  /**
   * Runs independent sequences at once; the results have their order.
   * @param mayStop is called before each layer, or each program of several, and throws to stop the pass
   */
  run(sequences: readonly Sequence<C>[], mayStop: () => void): Promise<PassResult<C>[]>;
  /**
   * Checks whether a pass of these sequences gives each the same bits as a pass of its own. Devices with separate memory
   * agree within their tolerance, which counts as the same.
   */
  mayShare(sequences: readonly Sequence<C>[]): Promise<boolean>;
  /** Makes a cache of some blocks of others, which stay as they are; see {@link Arrangement}. */
  arrange(parts: readonly CacheBlocks<C>[], arrangement: Arrangement): Promise<C>;
  dispose(): Promise<void>;
}

/** Rows of a sequence in a pass: a row is one block of one sample in one guidance branch. */
export function rowCount({ latents, noised }: Sequence): number {
  return noised ? noised.conditions.length : (latents.shape[0] ?? 0);
}
