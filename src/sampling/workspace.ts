/** @file What passes from segment to segment, reused by every layer and step: fresh memory costs a page fault each 4 KB. */

import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { LAYER_MODULATIONS, rowsOf } from '../models/acdit/weights.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';

/** Queries, keys and values of some groups, and what their attention gives: (groups, H, B, D). */
export interface AttentionRows {
  readonly query: Tensor<'float32'>;
  readonly key: Tensor<'float32'>;
  readonly value: Tensor<'float32'>;
  readonly attended: Tensor<'float32'>;
}

/** Room for so many groups; a group is one block of one sample in one branch. */
export interface Workspace extends AttentionRows {
  /** (groups, 1, B, token size) */
  readonly tokens: Tensor<'float32'>;
  /** Cosines and sines of each group's places (groups, 1, B, D). */
  readonly cos: Tensor<'float32'>;
  readonly sin: Tensor<'float32'>;
  /** Hidden vectors (groups, 1, B, C) in and out of a segment take turns, */
  readonly blocks: readonly [Tensor<'float32'>, Tensor<'float32'>];
  /** and so do the modulations (groups, 1, 6, C) of one layer and the next. */
  readonly modulations: readonly [Tensor<'float32'>, Tensor<'float32'>];
  /** (groups, 1, 2, C) */
  readonly finalModulation: Tensor<'float32'>;
}

/** Gives room for any number of groups: the same each time, which grows when more is asked for. */
export function createWorkspaces(config: AcditConfig): (groups: number) => Workspace {
  let largest: Workspace | undefined;
  let capacity = 0;
  return (groups) => {
    if (!largest || groups > capacity) {
      largest = allocate(config, groups);
      capacity = groups;
    }
    return firstGroups(largest, 0, groups);
  };
}

function allocate(config: AcditConfig, groups: number): Workspace {
  const { blockSize, hidden, heads } = config;
  const room = (...inner: number[]): Tensor<'float32'> => zeros('float32', [groups, ...inner]);
  const perHead = (): Tensor<'float32'> => room(heads, blockSize, headSize(config));
  const stream = (): Tensor<'float32'> => room(1, blockSize, hidden);
  return {
    tokens: room(1, blockSize, tokenSize(config)),
    cos: room(1, blockSize, headSize(config)),
    sin: room(1, blockSize, headSize(config)),
    blocks: [stream(), stream()],
    modulations: [room(1, LAYER_MODULATIONS, hidden), room(1, LAYER_MODULATIONS, hidden)],
    finalModulation: room(1, 2, hidden),
    query: perHead(),
    key: perHead(),
    value: perHead(),
    attended: perHead(),
  };
}

/** The same memory as if it were room for fewer groups. */
function firstGroups(all: Workspace, start: number, end: number): Workspace {
  const rows = (value: Tensor<'float32'>): Tensor<'float32'> => rowsOf(value, start, end);
  return {
    ...attentionRows(all, start, end),
    tokens: rows(all.tokens),
    cos: rows(all.cos),
    sin: rows(all.sin),
    blocks: [rows(all.blocks[0]), rows(all.blocks[1])],
    modulations: [rows(all.modulations[0]), rows(all.modulations[1])],
    finalModulation: rows(all.finalModulation),
  };
}

/** The part of the groups `start` to `end`. */
export function attentionRows(
  { query, key, value, attended }: AttentionRows,
  start: number,
  end: number,
): AttentionRows {
  return {
    query: rowsOf(query, start, end),
    key: rowsOf(key, start, end),
    value: rowsOf(value, start, end),
    attended: rowsOf(attended, start, end),
  };
}
