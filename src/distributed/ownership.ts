/**
 * @file Values dealt to ranks. They are cut into pieces, and the pieces are dealt round robin like cards, so that all
 * ranks own as much, give or take a piece, and any part of the values has something for everyone.
 */

import { at } from '../at.ts';

/** Where a vector is in an array that holds several. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** Pieces of an array: piece i belongs to rank i mod `ranks`, which keeps its pieces in a shorter array, its shard. */
export interface Ownership {
  readonly ranks: number;
  /** Where each piece begins in the array. */
  readonly offsets: Float64Array;
  readonly lengths: Int32Array;
  /** Where each piece begins in its owner's shard. */
  readonly shardOffsets: Float64Array;
  /** Elements of each rank's shard. */
  readonly shardLengths: readonly number[];
}

/** Elements of 64 bytes. */
const ALIGNMENT = 16;

/** Rounds a length up, so that what follows is aligned as an array of its own is: results may depend on it. */
export function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

/** Cuts vectors into pieces of at most `pieceLength` elements, none of which crosses the end of a vector. */
export function dealPieces(vectors: readonly Span[], pieceLength: number, ranks: number): Ownership {
  const pieces = vectors.flatMap(({ offset, length }) =>
    Array.from({ length: Math.ceil(length / pieceLength) }, (_, i) => ({
      offset: offset + i * pieceLength,
      length: Math.min(pieceLength, length - i * pieceLength),
    })),
  );
  const shardLengths = new Array<number>(ranks).fill(0);
  const shardOffsets = pieces.map(({ length }, i) => {
    const begin = at(shardLengths, i % ranks);
    shardLengths[i % ranks] = begin + aligned(length);
    return begin;
  });
  return {
    ranks,
    offsets: Float64Array.from(pieces, ({ offset }) => offset),
    lengths: Int32Array.from(pieces, ({ length }) => length),
    shardOffsets: Float64Array.from(shardOffsets),
    shardLengths,
  };
}

/** Numbers of the pieces that belong to a rank, among those from `first` up to `end`. */
export function ownPieces({ ranks, lengths }: Ownership, rank: number, first = 0, end = lengths.length) {
  const found: number[] = [];
  for (let piece = first + ((((rank - first) % ranks) + ranks) % ranks); piece < end; piece += ranks) {
    found.push(piece);
  }
  return found;
}

/** A run of as many pieces as there are ranks, one for each: what one call to MPI moves. */
export interface Deal {
  /** Elements for each rank; 0 at the end, where there are not enough pieces for all. */
  readonly counts: Int32Array;
  /** Where each rank's piece begins in the array, counted from `base`. */
  readonly displacements: Int32Array;
  /** Where the first piece begins in the array. */
  readonly base: number;
  /** The piece of the rank that asks; undefined if there is none for it. */
  readonly own: number | undefined;
}

/** The deals of pieces `first` up to `end`, as rank `rank` sees them. */
export function* deals(
  { ranks, offsets, lengths }: Ownership,
  rank: number,
  first = 0,
  end = lengths.length,
): Generator<Deal> {
  for (let start = first; start < end; start += ranks) {
    const counts = new Int32Array(ranks);
    const displacements = new Int32Array(ranks);
    const base = at(offsets, start);
    let own: number | undefined;
    for (let piece = start; piece < Math.min(start + ranks, end); piece++) {
      counts[piece % ranks] = at(lengths, piece);
      displacements[piece % ranks] = at(offsets, piece) - base;
      if (piece % ranks === rank) own = piece;
    }
    yield { counts, displacements, base, own };
  }
}
