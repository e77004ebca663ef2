import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { stateLayout } from '../training/sharded-state.ts';
import { alone } from './communicator.ts';
import { dealPieces, deals, ownPieces } from './ownership.ts';

/** Vectors of some lengths with gaps between them. */
const layouts = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 5 })), {
    minLength: 1,
    maxLength: 8,
  })
  .map((parts) => {
    let end = 0;
    return parts.map(([length, gap]) => {
      end += length + gap;
      return { offset: end - length - gap, length };
    });
  });

describe('dealPieces', () => {
  it('gives every value one owner, and all owners as much, to a piece', () => {
    fc.assert(
      fc.property(
        layouts,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 6 }),
        (spans, piece, ranks) => {
          const ownership = dealPieces(spans, { most: piece, multiple: 1 }, ranks);
          const values = spans.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i));
          const dealt = Array.from(ownership.offsets).flatMap((offset, i) =>
            Array.from({ length: ownership.lengths[i]! }, (_, k) => offset + k),
          );
          expect(dealt).toEqual(values);
          const counts = Array.from({ length: ranks }, (_, rank) => ownPieces(ownership, rank).length);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
          expect(Math.max(...ownership.lengths)).toBeLessThanOrEqual(piece);
        },
      ),
    );
  });

  it.each([2, 3, 4, 8, 16])("gives %i owners of a transformer's weights as much, to a tenth", (ranks) => {
    const { ownership, vectors } = stateLayout(tinyConfig({ layers: 12, hidden: 384, heads: 6 }), ranks);
    const lengths = [...ownership.shardLengths];
    expect(Math.min(...lengths) / Math.max(...lengths)).toBeGreaterThan(0.9);
    // A rank's rows of 128 are those of the whole.
    for (const { offset, length } of vectors) {
      const pieces = [...ownership.offsets].filter((start) => start >= offset && start < offset + length);
      expect(pieces.every((start) => (start - offset) % 128 === 0)).toBe(true);
    }
  });

  it('puts the pieces of a rank into its shard one after another, aligned to 64 bytes', () => {
    const { shardOffsets, shardLengths } = dealPieces(
      [{ offset: 0, length: 100 }],
      { most: 30, multiple: 1 },
      2,
    );
    expect([...shardOffsets]).toEqual([0, 0, 32, 32]);
    expect(shardLengths).toEqual([64, 64]);
  });
});

describe('ownPieces', () => {
  it('are every so many, also from a later piece', () => {
    const ownership = dealPieces([{ offset: 0, length: 10 }], { most: 1, multiple: 1 }, 3);
    expect(ownPieces(ownership, 1)).toEqual([1, 4, 7]);
    expect(ownPieces(ownership, 0, 4, 9)).toEqual([6]);
    expect(ownPieces(ownership, 2, 2, 3)).toEqual([2]);
  });
});

describe('deals', () => {
  it('give the longest piece of a round to the rank that has least', () => {
    const vectors = [40, 16, 48, 16].map((length, i) => ({ offset: i * 100, length }));
    const { owners, shardOffsets, shardLengths } = dealPieces(vectors, { most: 48, multiple: 1 }, 2);
    expect([...owners]).toEqual([0, 1, 1, 0]);
    expect([...shardOffsets]).toEqual([0, 0, 16, 48]);
    expect(shardLengths).toEqual([64, 64]);
  });

  it('have at most a piece for each rank, in the order of the ranks', () => {
    const ownership = dealPieces([{ offset: 5, length: 7 }], { most: 2, multiple: 1 }, 3);
    const found = [...deals(ownership, 2, 1)].map(({ counts, displacements, base, own }) => ({
      counts: [...counts],
      displacements: [...displacements],
      base,
      own,
    }));
    // Pieces 1, 2 and 3 belong to the ranks 1, 2 and 0; the last piece is shorter, and of the next round.
    expect(found).toEqual([
      { counts: [0, 2, 2], displacements: [0, 0, 2], base: 7, own: 2 },
      { counts: [1, 0, 0], displacements: [0, 0, 0], base: 11, own: undefined },
    ]);
  });
});

describe('alone', () => {
  it('adds in order, unless a state says otherwise', async () => {
    const ranks = alone();
    const ownership = dealPieces([{ offset: 1, length: 3 }], { most: 2, multiple: 1 }, 1);
    const sums = new Float32Array(ownership.shardLengths[0]!);
    const round = (values: number[], add: boolean, state = 0) =>
      ranks.reduceToOwners(ownership, Float32Array.of(9, ...values), sums, { active: 1, add, state });
    await round([1, 2, 3], false);
    await round([10, 20, 30], true);
    expect([...(await round([5, 5, 5], true, 2))]).toEqual([2]);
    const whole = new Float32Array(3);
    await ranks.shardsToFirst(ownership, { first: 0, end: 2 }, sums, whole);
    expect([...whole]).toEqual([11, 22, 33]);
  });
});
