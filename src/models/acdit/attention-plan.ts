/**
 * @file Which tokens attend which, as a short list of dense products. A block-level predicate such as the
 * Skip-Causal Attention Mask (paper section 3.2) is compiled to tiles: what no query may see is never
 * computed, what all may see needs no mask, and small blocks are grouped so that even a thousand one-token
 * blocks stay a handful of products. The same idea as FlexAttention's block mask.
 */

import { at } from '../../at.ts';

/** Tokens `start` up to, not including, `end`. */
export interface TokenRange {
  readonly start: number;
  readonly end: number;
}

/** One dense product: all of `queries` against all of `keys`, less what `allowed` forbids. */
export interface AttentionTile {
  readonly queries: TokenRange;
  readonly keys: readonly TokenRange[];
  /** (queries, keys) row-major, 1 where attention is allowed; absent where all of it is. */
  readonly allowed?: Uint8Array;
}

/** What attention of a sequence computes. */
export interface AttentionPlan {
  /** Tokens of the sequence. */
  readonly tokens: number;
  readonly tiles: readonly AttentionTile[];
}

/** May block `query` attend block `key`? Indices count the blocks of the whole sequence. */
export type BlockPredicate = (query: number, key: number) => boolean;

/** Everything attends everything: full-sequence diffusion. */
export const full: BlockPredicate = () => true;

/** Blocks attend themselves and all before them. */
export const blockCausal: BlockPredicate = (query, key) => key <= query;

/** Blocks attend themselves and the `window` blocks before them. */
export function windowed(window: number): BlockPredicate {
  return (query, key) => key <= query && key >= query - window;
}

/**
 * SCAM over `clean` clean blocks followed by the noised ones: clean block i sees the clean blocks up to
 * itself; noised block i sees the clean blocks before it, and itself.
 */
export function skipCausal(clean: number): BlockPredicate {
  return (query, key) => {
    if (query < clean) return key <= query;
    return key === query || key < Math.min(clean, query - clean);
  };
}

/** How a predicate is compiled. */
export interface PlanOptions {
  /** Blocks are grouped until a tile has this many queries. */
  readonly tileTokens?: number;
  /** First block that asks; those before it are only attended. */
  readonly firstQuery?: number;
}

/** Compile a predicate over equal blocks of `blockSize` tokens. */
export function compilePlan(
  blocks: number,
  blockSize: number,
  predicate: BlockPredicate,
  { tileTokens = 128, firstQuery = 0 }: PlanOptions = {},
): AttentionPlan {
  const perTile = Math.max(1, Math.floor(tileTokens / blockSize));
  const tiles: AttentionTile[] = [];
  for (let first = firstQuery; first < blocks; first += perTile) {
    tiles.push(compileTile(first, Math.min(first + perTile, blocks), blocks, blockSize, predicate));
  }
  return { tokens: blocks * blockSize, tiles };
}

function compileTile(
  first: number,
  end: number,
  blocks: number,
  blockSize: number,
  predicate: BlockPredicate,
): AttentionTile {
  const queryBlocks = Array.from({ length: end - first }, (_, i) => first + i);
  const keyBlocks = Array.from({ length: blocks }, (_, key) => key).filter((key) =>
    queryBlocks.some((query) => predicate(query, key)),
  );
  const tile = {
    queries: { start: first * blockSize, end: end * blockSize },
    keys: mergeBlocks(keyBlocks, blockSize),
  };
  const dense = queryBlocks.every((query) => keyBlocks.every((key) => predicate(query, key)));
  return dense ? tile : { ...tile, allowed: expandMask(queryBlocks, keyBlocks, blockSize, predicate) };
}

/** Neighbouring blocks as one range. */
function mergeBlocks(keyBlocks: readonly number[], blockSize: number): TokenRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (const block of keyBlocks) {
    const last = ranges[ranges.length - 1];
    if (last && last.end === block * blockSize) last.end += blockSize;
    else ranges.push({ start: block * blockSize, end: (block + 1) * blockSize });
  }
  return ranges;
}

function expandMask(
  queryBlocks: readonly number[],
  keyBlocks: readonly number[],
  blockSize: number,
  predicate: BlockPredicate,
): Uint8Array {
  const width = keyBlocks.length * blockSize;
  const mask = new Uint8Array(queryBlocks.length * blockSize * width);
  for (const [i, query] of queryBlocks.entries()) {
    for (const [j, key] of keyBlocks.entries()) {
      if (!predicate(query, key)) continue;
      for (let row = i * blockSize; row < (i + 1) * blockSize; row++) {
        mask.fill(1, row * width + j * blockSize, row * width + (j + 1) * blockSize);
      }
    }
  }
  return mask;
}

/** The token ranges at which some tile's keys begin or end: every tile's keys are a run of these. */
export function keyAtoms(plan: AttentionPlan): TokenRange[] {
  const cuts = new Set([0, plan.tokens]);
  for (const { keys } of plan.tiles) {
    for (const { start, end } of keys) {
      cuts.add(start);
      cuts.add(end);
    }
  }
  const sorted = [...cuts].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => ({ start: at(sorted, i), end }));
}

/** The plan as a dense (tokens, tokens) mask, 1 where attention is allowed; for checking and drawing. */
export function denseMask(plan: AttentionPlan): Uint8Array {
  const mask = new Uint8Array(plan.tokens ** 2);
  for (const { queries, keys, allowed } of plan.tiles) {
    const columns = keys.flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, i) => start + i),
    );
    for (let query = queries.start; query < queries.end; query++) {
      const row = (query - queries.start) * columns.length;
      for (const [j, key] of columns.entries()) {
        if (!allowed || allowed[row + j]) mask[query * plan.tokens + key] = 1;
      }
    }
  }
  return mask;
}

/** Query-key pairs the plan computes, and those it needs: their quotient is the plan's efficiency. */
export function planCost(plan: AttentionPlan): { computed: number; needed: number } {
  let computed = 0;
  let needed = 0;
  for (const { queries, keys, allowed } of plan.tiles) {
    const pairs = (queries.end - queries.start) * keys.reduce((sum, { start, end }) => sum + end - start, 0);
    computed += pairs;
    needed += allowed ? allowed.reduce((sum, value) => sum + value, 0) : pairs;
  }
  return { computed, needed };
}
