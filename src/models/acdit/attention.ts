/**
 * @file Which blocks attend which: the predicate of a model, in training and in sampling. A training sequence holds noised
 * blocks, and clean copies of those before them if blocks attend these (`copies`). In sampling, finished blocks are in the
 * place of the copies, so a predicate must not look ahead.
 */

import { at } from '../../at.ts';
import { isRecord } from '../../io/json.ts';
import { printable } from '../../io/printable.ts';
import { didYouMean } from '../../nearest.ts';
import type { BlockPredicate } from './attention-plan.ts';

/** A block of the training sequence: its number, and whether it is the clean copy or the noised block. */
export interface SequenceBlock {
  readonly block: number;
  readonly clean: boolean;
}

/** Returns whether block `query` attends block `key`. A module's attention is such a function. */
export type AttentionPredicate = (query: SequenceBlock, key: SequenceBlock) => boolean;

/**
 * Predicates with a name. `skip-causal`: the paper's. `block-causal`: no clean copies, noised blocks attend those before them,
 * each with a timestep of its own. `full`: no clean copies, one timestep, all blocks are denoised together.
 */
export const ATTENTION_NAMES = ['skip-causal', 'block-causal', 'full'] as const;
/** One of {@link ATTENTION_NAMES}. */
export type AttentionName = (typeof ATTENTION_NAMES)[number];

/** Skip-causal attention to the last `window` blocks and the first `sinks` ones (default: 0). */
export interface WindowAttention {
  readonly window: number;
  readonly sinks?: number;
}

/**
 * Any predicate as a table. Row i is for block i and has a character for each block: `1` if it is attended, else `0`.
 * `noised` is for noised blocks and `clean` for clean copies; both attend clean copies, and themselves. Without `clean`, there
 * are no copies, and noised blocks attend noised blocks.
 */
export interface AttentionTable {
  readonly noised: readonly string[];
  readonly clean?: readonly string[];
}

/** Attention as a model's configuration stores it. */
export type AttentionSetting = AttentionName | WindowAttention | AttentionTable;

/** A model's attention, ready to be asked. */
export interface BlockAttention {
  readonly sees: AttentionPredicate;
  /** Whether blocks attend clean copies of those before them; otherwise they attend noised ones. */
  readonly copies: boolean;
  /** Whether all blocks are denoised at once, with one timestep, so that nothing is cached. */
  readonly together: boolean;
  /** Blocks at the beginning that are attended from everywhere. */
  readonly sinks: number;
  /** Whether it is defined for the model's own number of blocks only. */
  readonly fixed: boolean;
  /**
   * Returns the numbers of the blocks before `query` that it attends, in order.
   * @param limit how many these may be (default: any number); of more, the oldest that are not sinks are left out
   */
  before(query: SequenceBlock, limit?: number): number[];
  /** Returns how many blocks before `query` it attends. */
  count(query: SequenceBlock): number;
  /** Returns the numbers of the blocks before number `next` that it or a later one attends, with the same limit. */
  kept(next: number, limit?: number): number[];
}

/** Returns how the blocks of a model attend each other. */
export function attentionOf({
  attention = 'skip-causal',
}: {
  readonly attention?: AttentionSetting;
}): BlockAttention {
  if (attention === 'full') return fullAttention;
  if (attention === 'skip-causal') return windowAttention({ window: Number.POSITIVE_INFINITY }, true);
  if (attention === 'block-causal') return windowAttention({ window: Number.POSITIVE_INFINITY }, false);
  return 'noised' in attention ? tableAttention(attention) : windowAttention(attention, true);
}

const fullAttention: BlockAttention = {
  sees: (query, key) => !query.clean && !key.clean,
  copies: false,
  together: true,
  sinks: 0,
  fixed: true,
  before: () => [],
  count: () => 0,
  kept: () => [],
};

function windowAttention({ window, sinks = 0 }: WindowAttention, copies: boolean): BlockAttention {
  const attends = (query: number, key: number): boolean =>
    key < query && (key >= query - window || key < sinks);
  const before = (block: number, limit = block): number[] => {
    const first = Math.min(sinks, block, Math.max(0, limit - 1));
    const last = Math.min(window, block - first, limit - first);
    return [...range(0, first), ...range(block - last, block)];
  };
  return {
    sees: seesBy(copies, ({ block }, key) => attends(block, key)),
    copies,
    together: false,
    sinks,
    fixed: false,
    before: ({ block }, limit) => before(block, limit),
    count: ({ block }) => Math.min(block, window + sinks),
    // What a block no longer attends, later ones do not attend either.
    kept: before,
  };
}

function tableAttention({ noised, clean }: AttentionTable): BlockAttention {
  const attends = (query: SequenceBlock, key: number): boolean =>
    key < query.block && at(query.clean && clean ? clean : noised, query.block)[key] === '1';
  const tables = clean ? [noised, clean] : [noised];
  /** The last block that attends each. */
  let lastUses: readonly number[] | undefined;
  const before = (query: SequenceBlock): number[] =>
    range(0, query.block).filter((key) => attends(query, key));
  const lastUse = (key: number): number =>
    Math.max(...tables.map((rows) => rows.findLastIndex((row) => row[key] === '1')));
  return {
    sees: seesBy(clean !== undefined, attends),
    copies: clean !== undefined,
    together: false,
    sinks: 0,
    fixed: true,
    before,
    count: (query) => before(query).length,
    kept(next) {
      lastUses ??= noised.map((_, key) => lastUse(key));
      const uses = lastUses;
      return range(0, next).filter((key) => at(uses, key) >= next);
    },
  };
}

/** The predicate of blocks that attend themselves and, of those before them, the clean copies or the noised blocks. */
function seesBy(
  copies: boolean,
  attends: (query: SequenceBlock, key: number) => boolean,
): AttentionPredicate {
  return (query, key) => {
    if (query.clean && !copies) return false;
    if (query.block === key.block) return query.clean === key.clean;
    return key.clean === copies && attends(query, key.block);
  };
}

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}

/** Returns a finished block as it is in the training sequence: the clean copy if there are copies, else the noised block. */
export function finishedBlock({ copies }: BlockAttention, block: number): SequenceBlock {
  return { block, clean: copies };
}

/**
 * Clean blocks in the training sequence. The last block's copy is left out, since only a later block could attend it: same
 * loss, same gradients, a block less.
 */
export function cleanBlocks(config: {
  readonly attention?: AttentionSetting;
  readonly blocks: number;
}): number {
  return attentionOf(config).copies ? config.blocks - 1 : 0;
}

/** Returns a predicate on the training sequence, whose first `clean` blocks are clean copies. */
export function sequencePredicate({ sees }: Pick<BlockAttention, 'sees'>, clean: number): BlockPredicate {
  const blockAt = (index: number): SequenceBlock =>
    index < clean ? { block: index, clean: true } : { block: index - clean, clean: false };
  return (query, key) => sees(blockAt(query), blockAt(key));
}

/** Returns a setting in a few words. */
export function describeAttention(attention: AttentionSetting = 'skip-causal'): string {
  if (typeof attention === 'string') return attention;
  if ('noised' in attention) return `table of ${attention.noised.length} blocks`;
  const { window, sinks = 0 } = attention;
  const first = sinks === 0 ? '' : ` and first ${sinks === 1 ? 'block' : `${sinks} blocks`}`;
  return `window of the last ${window === 1 ? 'block' : `${window} blocks`}${first}`;
}

/** More blocks than a table may have: it has a character for each pair. */
export const MAX_TABLE_BLOCKS = 1024;

/** Returns what is wrong with a setting that anyone may have written, as the rest of a sentence; undefined if nothing is. */
export function attentionProblem(setting: unknown, blocks: number): string | undefined {
  if (typeof setting === 'string') return nameProblem(setting);
  if (!isRecord(setting)) return `must be ${KNOWN}, got ${printable(setting)}`;
  const known = 'noised' in setting || 'clean' in setting ? ['noised', 'clean'] : ['window', 'sinks'];
  const stray = Object.keys(setting).find((key) => !known.includes(key));
  if (stray !== undefined)
    return `has the unknown key '${printable(stray)}'; the keys are ${known.join(', ')}`;
  return known[0] === 'window' ? windowProblem(setting) : tableProblem(setting, blocks);
}

const KNOWN = `${ATTENTION_NAMES.join(', ')}, { "window": 2, "sinks": 1 } or a table of blocks`;

function nameProblem(name: string): string | undefined {
  if (ATTENTION_NAMES.some((known) => known === name)) return undefined;
  const advice = isModulePath(name)
    ? '; a model holds the table of a module, and only a recipe or the command line names a module'
    : didYouMean(name, ATTENTION_NAMES);
  return `must be ${KNOWN}, got '${printable(name)}'${advice}`;
}

/** Checks whether a setting is the path of a module rather than a name. */
export function isModulePath(setting: unknown): setting is string {
  return typeof setting === 'string' && /\.[cm]?[jt]s$/i.test(setting);
}

function windowProblem({ window, sinks = 0 }: Readonly<Record<string, unknown>>): string | undefined {
  if (!Number.isSafeInteger(window) || Number(window) < 1) {
    return `must have a window of 1 block or more, got ${printable(window)}`;
  }
  if (!Number.isSafeInteger(sinks) || Number(sinks) < 0) {
    return `must have 0 or more sinks, got ${printable(sinks)}`;
  }
  return undefined;
}

function tableProblem(
  { noised, clean }: Readonly<Record<string, unknown>>,
  blocks: number,
): string | undefined {
  if (blocks > MAX_TABLE_BLOCKS) return `cannot be a table of more than ${MAX_TABLE_BLOCKS} blocks`;
  return (
    rowsProblem('noised', noised, blocks) ??
    (clean === undefined ? undefined : rowsProblem('clean', clean, blocks))
  );
}

function rowsProblem(name: string, rows: unknown, blocks: number): string | undefined {
  if (!Array.isArray(rows) || rows.length !== blocks) {
    const got = Array.isArray(rows) ? `${rows.length} rows` : printable(rows);
    return `must have one row for each of ${blocks} blocks in ${name}, got ${got}`;
  }
  for (const [block, row] of rows.entries()) {
    if (typeof row !== 'string' || row.length !== blocks || !/^[01]*$/.test(row)) {
      return `must have rows of ${blocks} characters 0 or 1 in ${name}, got ${printable(row)}`;
    }
    if (row[block] !== '1') return `must let each block attend itself, and ${name} block ${block} does not`;
    const later = row.indexOf('1', block + 1);
    if (later >= 0) return `must not look ahead, and ${name} block ${block} attends block ${later}`;
  }
  return undefined;
}
