/** @file Decoded frames of latents: which blocks to decode next. */

import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Frame } from './frame.ts';
import { currentBlock, firstBlocks, type Run } from './run.ts';
import { blockConfig, blockLength } from './values.ts';

/** The decoded frames of a run's first blocks. */
export interface Decoded {
  readonly blocks: number;
  readonly frames: readonly Frame[];
}

/** What to decode: values of all blocks of `config`. */
export interface Portion {
  readonly config: AcditConfig;
  readonly values: Float32Array;
  /** Frames that were decoded before, and stay. */
  readonly before: readonly Frame[];
  /** Finished blocks once it is decoded. */
  readonly blocks: number;
}

/** Returns what is finished and not decoded yet. Blocks of an image are decoded with those before, whole frames alone. */
export function nextPortion(run: Run, decoded: Decoded | undefined): Portion | undefined {
  const { config } = run;
  const blocks = currentBlock(run);
  const done = decoded?.blocks ?? 0;
  if (config.space !== 'latents' || blocks <= done) return undefined;
  const finished = firstBlocks(run, blocks);
  const length = blockLength(config);
  if (Number.isInteger(config.frames / config.blocks)) {
    const values = finished.slice(done * length);
    return { config: blockConfig(config, values), values, before: decoded?.frames ?? [], blocks };
  }
  // Blocks that are missing are the average of all latents.
  const values = new Float32Array(config.blocks * length);
  values.set(finished);
  return { config, values, before: [], blocks };
}
