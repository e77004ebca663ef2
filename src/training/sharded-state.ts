/**
 * @file The state of a training whose optimizer is shared out (ZeRO-1: Rajbhandari et al., 2020): every rank has all weights,
 * and the moving average, the moments and the sums of gradients of its own pieces only.
 */

import { at } from '../at.ts';
import {
  aligned,
  dealPieces,
  type Ownership,
  ownPieces,
  pieceLengths,
  type Span,
} from '../distributed/ownership.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameters, type Weights } from '../models/acdit/weights.ts';
import { elementCount, float32, zeros } from '../tensor/tensor.ts';
import { contiguousRuns, type OptimizerState, PIECE, zerosLike } from './optimizer.ts';

/** Parts of the state of which a rank has its pieces. */
export const SHARDED_PARTS = ['ema', 'firstMoments', 'secondMoments'] as const;
export type ShardedPart = (typeof SHARDED_PARTS)[number];

/** Where a tensor is. */
interface Place {
  readonly shape: readonly number[];
  /** The vector that it is in, and where it begins there. */
  readonly vector: number;
  readonly start: number;
}

/** How a model's weights lie in one array: in the vectors that the optimizer takes, one after another. */
export interface StateLayout {
  readonly places: ReadonlyMap<string, Place>;
  readonly vectors: readonly Span[];
  /** Elements of the array. */
  readonly length: number;
  readonly ownership: Ownership;
}

/** The layout of a model's weights for a number of ranks. */
export function stateLayout(config: AcditConfig, ranks: number): StateLayout {
  // Their memory is never touched: only the lengths are needed.
  const like = zerosLike(
    new Map([...parameters(config)].map(([name, shape]) => [name, zeros('float32', shape)])),
  );
  let length = 0;
  const vectors = contiguousRuns(like).map((run): Span => {
    const offset = length;
    length += aligned(run.length);
    return { offset, length: run.length };
  });
  let vector = 0;
  let start = 0;
  const places = [...like].map(([name, { shape, data }]): [string, Place] => {
    if (start + data.length > at(vectors, vector).length) {
      vector++;
      start = 0;
    }
    start += data.length;
    return [name, { shape, vector, start: start - data.length }];
  });
  return { places: new Map(places), vectors, length, ownership: dealPieces(vectors, PIECE, ranks) };
}

/** An array of this layout, and its tensors by name. */
export function allocate({ places, vectors, length }: StateLayout): {
  values: Float32Array;
  tensors: Weights;
} {
  const values = new Float32Array(length);
  const tensors = new Map(
    [...places].map(([name, { shape, vector, start }]) => {
      const from = at(vectors, vector).offset + start;
      return [name, float32(shape, values.subarray(from, from + elementCount(shape)))];
    }),
  );
  return { values, tensors };
}

/** A rank's pieces of an array, or of a shard, by their numbers: the optimizer takes them like weights. */
export function pieceViews(
  { lengths, offsets, shardOffsets }: Ownership,
  pieces: readonly number[],
  values: Float32Array,
  kind: 'array' | 'shard',
): Weights {
  return new Map(
    pieces.map((piece) => {
      const from = at(kind === 'array' ? offsets : shardOffsets, piece);
      const length = at(lengths, piece);
      return [String(piece), float32([length], values.subarray(from, from + length))];
    }),
  );
}

/** What a rank has of a training's state. */
export interface ShardedState {
  readonly layout: StateLayout;
  /** All weights, as one array and by name. */
  readonly values: Float32Array;
  readonly weights: Weights;
  /** Shards of the other parts, and of the sums of gradients. */
  readonly shards: Readonly<Record<ShardedPart | 'sums', Float32Array>>;
  /** This rank's pieces of everything, as the optimizer takes them. */
  readonly own: OptimizerState & { readonly sums: Weights };
}

/** Allocates the state of a rank. */
export function allocateState(config: AcditConfig, rank: number, ranks: number): ShardedState {
  const layout = stateLayout(config, ranks);
  const { values, tensors } = allocate(layout);
  const { ownership } = layout;
  const shard = (): Float32Array => new Float32Array(at(ownership.shardLengths, rank));
  const shards = { ema: shard(), firstMoments: shard(), secondMoments: shard(), sums: shard() };
  const pieces = ownPieces(ownership, rank);
  const views = (part: keyof typeof shards): Weights => pieceViews(ownership, pieces, shards[part], 'shard');
  const own = {
    weights: pieceViews(ownership, pieces, values, 'array'),
    ema: views('ema'),
    firstMoments: views('firstMoments'),
    secondMoments: views('secondMoments'),
    sums: views('sums'),
  };
  return { layout, values, weights: tensors, shards, own };
}

/** The pieces of a vector: from `first` up to `end`. */
export function piecesOfVector({ vectors }: StateLayout, vector: number): { first: number; end: number } {
  const count = ({ length }: Span): number => pieceLengths(length, PIECE).length;
  const first = vectors.slice(0, vector).reduce((sum, span) => sum + count(span), 0);
  return { first, end: first + count(at(vectors, vector)) };
}
