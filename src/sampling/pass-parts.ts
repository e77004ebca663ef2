/**
 * @file What may go through the trunk in one pass: blocks in progress, whose noise is predicted, and finished blocks, which
 * join the cache. To the segments they differ in nothing but where they are and how they are modulated.
 */

import { type AcditConfig, headSize } from '../models/acdit/config.ts';
import { type RopeTables, ropeTables, signedTables } from '../models/acdit/rope.ts';
import { CLEAN_MODULATION, rowsOf } from '../models/acdit/weights.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { type KeyValueCache, roomFor } from './cache.ts';
import type { Condition, ModulationTable } from './modulation-table.ts';

/** A block in progress, of one or more samples that have as many finished blocks. */
export interface DenoiseJob {
  /** (N, B, token size) */
  readonly latents: Tensor<'float32'>;
  /** R x N of them, a guidance branch's samples together, as in the official batch. */
  readonly conditions: readonly Condition[];
  readonly table: ModulationTable;
  readonly cache: KeyValueCache;
}

/** A finished block, which is to join the cache. */
export interface AppendJob {
  /** (N, B, token size) */
  readonly latents: Tensor<'float32'>;
  readonly cache: KeyValueCache;
}

/** A job's part in a pass: some groups, a group being one block of one sample in one branch. */
export interface PassPart {
  readonly samples: number;
  readonly groups: number;
  /** Values of the tokens of one branch, which stand for all. */
  readonly tokens: Float32Array;
  /** Where the segments take the block's tokens to be, (B, D). */
  readonly places: RopeTables;
  readonly cache: KeyValueCache;
  /** Modulation vectors of one of the groups. */
  modulation(layer: number, group: number): Float32Array;
}

export interface DenoisePart extends PassPart {
  readonly branches: number;
}

export interface AppendPart extends PassPart {
  /** The cache that the pass fills. */
  readonly extended: KeyValueCache;
}

export interface PassParts {
  denoise(job: DenoiseJob): DenoisePart;
  append(job: AppendJob): AppendPart;
}

export function createPassParts(config: AcditConfig): PassParts {
  const positions = createPositions(config);
  const cleanRow = Float32Array.from(
    CLEAN_MODULATION.flatMap((value) => Array<number>(config.hidden).fill(value)),
  );
  const still = noRotation(config);
  return {
    denoise({ latents, conditions, table, cache }) {
      const [samples] = latents.shape;
      return {
        samples,
        branches: conditions.length / samples,
        groups: conditions.length,
        tokens: latents.data,
        places: positions(cache.blocks),
        cache,
        modulation: (layer, group) => table.row(layer, conditions[group]),
      };
    },
    append({ latents, cache }) {
      const [samples] = latents.shape;
      return {
        samples,
        groups: samples,
        tokens: latents.data,
        // A sliding cache needs keys before rotation, so its attention rotates.
        places: cache.plainKeys ? still : positions(cache.blocks),
        cache,
        extended: roomFor(config, samples, cache),
        modulation: () => cleanRow,
      };
    },
  };
}

/** Tables of the tokens of `count` blocks from number `block` on. */
export type Positions = (block: number, count?: number) => RopeTables;

export function createPositions(config: AcditConfig): Positions {
  const { blockSize } = config;
  const rope = signedTables(ropeTables(config));
  return (block, count = 1) => {
    const [start, end] = [block * blockSize, (block + count) * blockSize];
    return { cos: rowsOf(rope.cos, start, end), sin: rowsOf(rope.sin, start, end) };
  };
}

function noRotation(config: AcditConfig): RopeTables {
  const shape = [config.blockSize, headSize(config)];
  return {
    cos: float32(shape, new Float32Array(shape[0] * shape[1]).fill(1)),
    sin: zeros('float32', shape),
  };
}
