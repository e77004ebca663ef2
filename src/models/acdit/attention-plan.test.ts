import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluate, randomTensor } from '../../../test/support/evaluate.ts';
import { relativeError } from '../../../test/support/golden.ts';
import { attention } from '../../graph/operators/index.ts';
import { constant } from '../../graph/symbolic.ts';
import { float32 } from '../../tensor/tensor.ts';
import {
  type BlockPredicate,
  blockCausal,
  compilePlan,
  denseMask,
  full,
  keyAtoms,
  planCost,
  skipCausal,
  windowed,
} from './attention-plan.ts';
import { planAttention } from './transformer.ts';

/** The predicate token by token; queries before the first one see nothing. */
function expectedMask(
  blocks: number,
  blockSize: number,
  predicate: BlockPredicate,
  firstQuery = 0,
): Uint8Array {
  const tokens = blocks * blockSize;
  return Uint8Array.from({ length: tokens ** 2 }, (_, i) => {
    const query = Math.floor(Math.floor(i / tokens) / blockSize);
    const key = Math.floor((i % tokens) / blockSize);
    return query >= firstQuery && predicate(query, key) ? 1 : 0;
  });
}

/** SCAM as the paper writes it: clean blocks first, then noised ones. */
const paperMask: (clean: number) => BlockPredicate = (clean) => (query, key) => {
  const [queryNoised, keyNoised] = [query >= clean, key >= clean];
  const [i, j] = [queryNoised ? query - clean : query, keyNoised ? key - clean : key];
  if (keyNoised) return queryNoised && i === j;
  return queryNoised ? j < i : j <= i;
};

const sizes = {
  blocks: fc.integer({ min: 1, max: 12 }),
  blockSize: fc.integer({ min: 1, max: 5 }),
  tileTokens: fc.integer({ min: 1, max: 40 }),
  firstShare: fc.double({ min: 0, max: 0.99, noNaN: true }),
};
const predicates: fc.Arbitrary<(blocks: number) => BlockPredicate> = fc.oneof(
  fc.constant(() => full),
  fc.constant(() => blockCausal),
  fc.nat(5).map((window) => () => windowed(window)),
  fc.constant((blocks: number) => skipCausal(Math.floor(blocks / 2))),
  fc
    .array(fc.boolean(), { minLength: 1, maxLength: 144 })
    .map(
      (bits) => (blocks: number) => (query: number, key: number) =>
        bits[(query * blocks + key) % bits.length],
    ),
);

describe('predicates', () => {
  /** One row per query, `x` where it attends the key. */
  const drawn = (blocks: number, predicate: BlockPredicate): string[] =>
    Array.from({ length: blocks }, (_, query) =>
      Array.from({ length: blocks }, (_, key) => (predicate(query, key) ? 'x' : '.')).join(''),
    );

  it('are drawn as in the paper', () => {
    expect(drawn(3, full)).toEqual(['xxx', 'xxx', 'xxx']);
    expect(drawn(4, blockCausal)).toEqual(['x...', 'xx..', 'xxx.', 'xxxx']);
    expect(drawn(4, windowed(1))).toEqual(['x...', 'xx..', '.xx.', '..xx']);
    expect(drawn(4, windowed(0))).toEqual(['x...', '.x..', '..x.', '...x']);
    // Three clean and three noised blocks; two clean and three noised ones, as in training.
    expect(drawn(6, skipCausal(3))).toEqual(['x.....', 'xx....', 'xxx...', '...x..', 'x...x.', 'xx...x']);
    expect(drawn(5, skipCausal(2))).toEqual(['x....', 'xx...', '..x..', 'x..x.', 'xx..x']);
  });
});

describe('a plan', () => {
  it('groups blocks until a tile has 128 queries, unless told otherwise', () => {
    const queries = (blockSize: number, tileTokens?: number): number[] =>
      compilePlan(5, blockSize, blockCausal, tileTokens === undefined ? {} : { tileTokens }).tiles.map(
        ({ queries: { start, end } }) => end - start,
      );
    expect(queries(64)).toEqual([128, 128, 64]);
    expect(queries(128)).toEqual([128, 128, 128, 128, 128]);
    expect(queries(65)).toEqual([65, 65, 65, 65, 65]);
    expect(queries(2, 5)).toEqual([4, 4, 2]);
  });

  it('names the keys of each tile as few ranges, and a mask only where it forbids something', () => {
    const { tokens, tiles } = compilePlan(5, 2, windowed(1), { tileTokens: 2 });
    expect(tokens).toBe(10);
    expect(tiles.map(({ keys }) => keys)).toEqual([
      [{ start: 0, end: 2 }],
      [{ start: 0, end: 4 }],
      [{ start: 2, end: 6 }],
      [{ start: 4, end: 8 }],
      [{ start: 6, end: 10 }],
    ]);
    expect(tiles.every(({ allowed }) => allowed === undefined)).toBe(true);
    const [apart] = compilePlan(3, 1, (_, key) => key !== 1, { firstQuery: 2 }).tiles;
    expect(apart?.keys).toEqual([
      { start: 0, end: 1 },
      { start: 2, end: 3 },
    ]);
  });

  it('has cuts between its tiles’ keys only', () => {
    expect(keyAtoms(compilePlan(3, 2, full))).toEqual([{ start: 0, end: 6 }]);
    expect(keyAtoms(compilePlan(3, 2, blockCausal, { tileTokens: 2 }))).toEqual([
      { start: 0, end: 2 },
      { start: 2, end: 4 },
      { start: 4, end: 6 },
    ]);
  });

  it('allows exactly what its predicate does, for any sizes', () => {
    fc.assert(
      fc.property(
        fc.record({ ...sizes, of: predicates }),
        ({ blocks, blockSize, tileTokens, firstShare, of }) => {
          const predicate = of(blocks);
          const firstQuery = Math.floor(firstShare * blocks);
          const plan = compilePlan(blocks, blockSize, predicate, { tileTokens, firstQuery });
          const mask = denseMask(plan);
          expect(mask).toEqual(expectedMask(blocks, blockSize, predicate, firstQuery));
          // Tiles follow each other without a gap, and are no larger than asked for.
          let next = firstQuery * blockSize;
          for (const { queries, keys, allowed } of plan.tiles) {
            expect(queries.start).toBe(next);
            next = queries.end;
            expect(queries.end - queries.start).toBeLessThanOrEqual(Math.max(tileTokens, blockSize));
            expect(allowed?.includes(0) ?? true).toBe(true);
            expect(keys.every(({ start }, i) => i === 0 || start > keys[i - 1].end)).toBe(true);
          }
          expect(next).toBe(blocks * blockSize);
          const { computed, needed } = planCost(plan);
          expect(needed).toBe(mask.reduce((sum, value) => sum + value, 0));
          expect(computed).toBeGreaterThanOrEqual(needed);
          expect(computed).toBeLessThanOrEqual((blocks - firstQuery) * blocks * blockSize ** 2);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is the skip-causal mask of the paper, with all clean blocks or without the last', () => {
    for (let blocks = 1; blocks <= 6; blocks++) {
      for (const clean of [blocks, blocks - 1]) {
        const all = clean + blocks;
        const mask = denseMask(compilePlan(all, 2, skipCausal(clean), { tileTokens: 4 }));
        expect(mask).toEqual(expectedMask(all, 2, paperMask(clean)));
      }
    }
  });

  it('cuts the sequence where some key range begins or ends', () => {
    const plan = compilePlan(7, 2, skipCausal(3), { tileTokens: 2 });
    const atoms = keyAtoms(plan);
    expect(atoms[0].start).toBe(0);
    expect(atoms[atoms.length - 1].end).toBe(plan.tokens);
    expect(atoms.slice(1).every(({ start }, i) => start === atoms[i].end)).toBe(true);
    for (const { keys } of plan.tiles) {
      for (const edge of keys.flatMap(({ start, end }) => [start, end])) {
        expect(atoms.some(({ start, end }) => edge === start || edge === end)).toBe(true);
      }
    }
  });

  it('computes only what is needed where blocks are large', () => {
    const { computed, needed } = planCost(compilePlan(7, 256, skipCausal(3)));
    expect(computed).toBe(needed);
    const plan = compilePlan(7, 256, skipCausal(3));
    expect(plan.tiles).toHaveLength(7);
    expect(plan.tiles.every(({ allowed }) => allowed === undefined)).toBe(true);
  });

  it('is a handful of products for 1024 blocks of one token', () => {
    const blocks = 1024;
    const plan = compilePlan(2 * blocks - 1, 1, skipCausal(blocks - 1));
    expect(plan.tiles).toHaveLength(16);
    const { computed, needed } = planCost(plan);
    expect(needed).toBe(((blocks - 1) * blocks) / 2 + blocks + ((blocks - 1) * blocks) / 2);
    expect(needed / computed).toBeGreaterThan(0.8);
    expect(computed).toBeLessThan((2 * blocks - 1) ** 2 / 3);
  });

  it('gives what attention under its dense mask gives', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ ...sizes, of: predicates }),
        async ({ blocks, blockSize, tileTokens, firstShare, of }) => {
          const random = of(blocks);
          const predicate: BlockPredicate = (query, key) => query === key || random(query, key);
          const firstQuery = Math.floor(firstShare * blocks);
          const plan = compilePlan(blocks, blockSize, predicate, { tileTokens, firstQuery });
          const skipped = firstQuery * blockSize;
          const [q, k, v] = [1, 2, 3].map((seed) =>
            constant(randomTensor([1, 2, seed === 1 ? plan.tokens - skipped : plan.tokens, 4], seed)),
          );
          const bias = Float32Array.from(denseMask(plan).subarray(skipped * plan.tokens), (allowed) =>
            allowed ? 0 : Number.NEGATIVE_INFINITY,
          );
          const dense = attention(q, k, v, constant(float32([plan.tokens - skipped, plan.tokens], bias)));
          const { tiled, masked } = await evaluate({ tiled: planAttention(plan)(q, k, v, k), masked: dense });
          expect(tiled.shape).toEqual(masked.shape);
          expect(relativeError(tiled, masked)).toBeLessThan(1e-5);
        },
      ),
      { numRuns: 25 },
    );
  });
});
