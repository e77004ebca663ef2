/** @file Scratch memory of passes, reused by every layer and step: fresh memory costs one page fault per 4 KB. */

import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { FINAL_MODULATIONS, LAYER_MODULATIONS, rowsOf } from '../models/acdit/weights.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';

type Pair = readonly [Tensor<'float32'>, Tensor<'float32'>];

/** What passes from segment to segment, for some rows. */
export interface Workspace {
  /** (rows, 1, B, token size) */
  readonly tokens: Tensor<'float32'>;
  /** Cosines and sines of each row's positions (rows, 1, B, D). */
  readonly cos: Tensor<'float32'>;
  readonly sin: Tensor<'float32'>;
  /** Hidden vectors (rows, 1, B, C), in turn into and out of a segment, */
  readonly hidden: Pair;
  /** and the modulations (rows, 1, 6, C) of one layer and the next. */
  readonly modulation: Pair;
  /** (rows, 1, 2, C) */
  readonly finalModulation: Tensor<'float32'>;
  /** (rows, H, B, D), as are the other inputs and the output of attention. */
  readonly query: Tensor<'float32'>;
  readonly key: Tensor<'float32'>;
  readonly value: Tensor<'float32'>;
  readonly attended: Tensor<'float32'>;
}

export function createWorkspace(config: AcditConfig, rows: number): Workspace {
  const { blockSize, hidden, heads } = config;
  const buffer = (...inner: number[]): Tensor<'float32'> => zeros('float32', [rows, ...inner]);
  const vectors = (): Tensor<'float32'> => buffer(1, blockSize, hidden);
  const modulations = (): Tensor<'float32'> => buffer(1, LAYER_MODULATIONS, hidden);
  const perHead = (): Tensor<'float32'> => buffer(heads, blockSize, headSize(config));
  return {
    tokens: buffer(1, blockSize, tokenSize(config)),
    cos: buffer(1, blockSize, headSize(config)),
    sin: buffer(1, blockSize, headSize(config)),
    hidden: [vectors(), vectors()],
    modulation: [modulations(), modulations()],
    finalModulation: buffer(1, FINAL_MODULATIONS, hidden),
    query: perHead(),
    key: perHead(),
    value: perHead(),
    attended: perHead(),
  };
}

/** Returns the same memory as a workspace of fewer rows. */
export function firstRows({ hidden, modulation, ...others }: Workspace, rows: number): Workspace {
  const first = (value: Tensor<'float32'>): Tensor<'float32'> => rowsOf(value, 0, rows);
  return {
    tokens: first(others.tokens),
    cos: first(others.cos),
    sin: first(others.sin),
    hidden: [first(hidden[0]), first(hidden[1])],
    modulation: [first(modulation[0]), first(modulation[1])],
    finalModulation: first(others.finalModulation),
    query: first(others.query),
    key: first(others.key),
    value: first(others.value),
    attended: first(others.attended),
  };
}
