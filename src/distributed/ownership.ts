/**
 * @file Values dealt to ranks. They are cut into pieces, and the pieces are dealt in rounds like cards, one to each rank, so
 * that any part of the values has something for everyone. In each round the longest goes to the rank that has least so far,
 * so that all ranks own as much, give or take a piece.
 */

import { at } from '../at.ts';

/** Where a vector is in an array that holds several. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** Pieces of an array. Each belongs to a rank, which keeps its pieces in a shorter array, its shard. */
export interface Ownership {
  readonly ranks: number;
  /** Where each piece begins in the array. */
  readonly offsets: Float64Array;
  readonly lengths: Int32Array;
  /** The rank that each piece belongs to. */
  readonly owners: Int32Array;
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

/** How long pieces may be. */
export interface PieceLength {
  readonly most: number;
  /** Pieces end at multiples of this, which `most` is too, or at the end of their vector. */
  readonly multiple: number;
}

/**
 * Lengths of the pieces of a vector: as few as may be, and about as long as each other. With a short one at the end of each
 * vector, the vectors of a transformer's layers would give some ranks a third more than others.
 */
export function pieceLengths(length: number, { most, multiple }: PieceLength): number[] {
  const piece = Math.ceil(length / Math.ceil(length / most) / multiple) * multiple;
  return Array.from({ length: Math.ceil(length / piece) }, (_, i) => Math.min(piece, length - i * piece));
}

/** Cuts vectors into pieces, none of which crosses the end of a vector, and deals them. */
export function dealPieces(vectors: readonly Span[], piece: PieceLength, ranks: number): Ownership {
  const pieces = vectors.flatMap(({ offset, length: whole }) => {
    let next = offset;
    return pieceLengths(whole, piece).map((length) => {
      next += length;
      return { offset: next - length, length };
    });
  });
  const owners = new Int32Array(pieces.length);
  const shardOffsets = new Float64Array(pieces.length);
  const shardLengths = new Array<number>(ranks).fill(0);
  for (let first = 0; first < pieces.length; first += ranks) {
    const longestFirst = pieces
      .slice(first, first + ranks)
      .map(({ length }, i) => ({ piece: first + i, length: aligned(length) }))
      .sort((a, b) => b.length - a.length);
    const leastFirst = shardLengths
      .map((length, rank) => ({ rank, length }))
      .sort((a, b) => a.length - b.length);
    for (const [i, { piece, length }] of longestFirst.entries()) {
      const { rank, length: begin } = at(leastFirst, i);
      owners[piece] = rank;
      shardOffsets[piece] = begin;
      shardLengths[rank] = begin + length;
    }
  }
  return {
    ranks,
    offsets: Float64Array.from(pieces, ({ offset }) => offset),
    lengths: Int32Array.from(pieces, ({ length }) => length),
    owners,
    shardOffsets,
    shardLengths,
  };
}

/** Numbers of the pieces that belong to a rank, among those from `first` up to `end`. */
export function ownPieces({ owners }: Ownership, rank: number, first = 0, end = owners.length): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i).filter(
    (piece) => at(owners, piece) === rank,
  );
}

/** The pieces of a round, one for each rank: what one call to MPI moves. */
export interface Deal {
  /** Elements for each rank; 0 at the ends of a range, where there are not pieces for all. */
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
  { ranks, offsets, lengths, owners }: Ownership,
  rank: number,
  first = 0,
  end = lengths.length,
): Generator<Deal> {
  for (let round = Math.floor(first / ranks); round * ranks < end; round++) {
    const counts = new Int32Array(ranks);
    const displacements = new Int32Array(ranks);
    const start = Math.max(first, round * ranks);
    const base = at(offsets, start);
    let own: number | undefined;
    for (let piece = start; piece < Math.min((round + 1) * ranks, end); piece++) {
      const owner = at(owners, piece);
      counts[owner] = at(lengths, piece);
      displacements[owner] = at(offsets, piece) - base;
      if (owner === rank) own = piece;
    }
    yield { counts, displacements, base, own };
  }
}
