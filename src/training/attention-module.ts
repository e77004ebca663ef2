/**
 * @file Attention from a module (Node only): its predicate is asked once for each pair of blocks, and what it answers is kept
 * as a table. So a model never names code, and a recipe's module runs only where the recipe itself is read.
 */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../attempt.ts';
import { ConfigError } from '../errors.ts';
import { isFile } from '../io/file-source.ts';
import { printable } from '../io/printable.ts';
import {
  type AttentionPredicate,
  type AttentionSetting,
  type AttentionTable,
  attentionOf,
  attentionProblem,
  isModulePath,
  MAX_TABLE_BLOCKS,
  type SequenceBlock,
} from '../models/acdit/attention.ts';
import type { RecipeDraft } from './recipe.ts';

/**
 * Returns a recipe whose attention is a setting: a module that it names is run, and replaced by its table.
 * @throws {ConfigError} if the module cannot be loaded, sampling cannot follow its predicate, or timesteps do not fit it.
 */
export async function loadAttention<R extends RecipeDraft>(recipe: R): Promise<R> {
  const { attention, blocks } = recipe.model;
  if (!isModulePath(attention)) return recipe;
  const setting = await attentionOfModule(attention, blocks);
  if (attentionOf({ attention: setting }).together && recipe.training.timestepPer !== 'sample') {
    throw new ConfigError(
      `attention module ${printable(attention)}: lets every block attend all others, which is the attention full: all blocks ` +
        'are denoised together, with one timestep; set training.timestepPer to sample',
    );
  }
  return { ...recipe, model: { ...recipe.model, attention: setting } };
}

/**
 * Runs a module, whose default export (or `attention`) is an {@link AttentionPredicate}, and returns it as a setting for
 * `blocks` blocks: as a table, or by name if it is one of the predicates with a name.
 * @param path relative to the current folder
 * @throws {ConfigError} if the module cannot be loaded, or sampling cannot follow its predicate.
 */
export async function attentionOfModule(path: string, blocks: number): Promise<AttentionSetting> {
  const name = `attention module ${printable(path)}`;
  if (blocks > MAX_TABLE_BLOCKS) {
    throw new ConfigError(`${name}: is for at most ${MAX_TABLE_BLOCKS} blocks, got ${blocks}`);
  }
  if (!(await isFile(path))) {
    throw new ConfigError(`${name}: is not a file; give its path, relative to the current folder`);
  }
  const loaded: unknown = await import(pathToFileURL(resolve(path)).href).catch((cause: unknown) => {
    throw new ConfigError(`${name}: cannot be loaded: ${loadProblem(cause)}`, { cause });
  });
  const { default: main, attention = main } = loaded as { default?: unknown; attention?: unknown };
  if (typeof attention !== 'function') {
    throw new ConfigError(
      `${name}: must export a function (query, key) => boolean as default or as attention, got ${typeof attention}`,
    );
  }
  return tabulate(askedOf(attention as (...blocks: SequenceBlock[]) => unknown, name), blocks, name);
}

/** Characters of a module's own message. */
const MESSAGE = 300;

function loadProblem(cause: unknown): string {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  if (code !== 'ERR_UNKNOWN_FILE_EXTENSION') return printable(messageOf(cause), MESSAGE);
  return `Node.js ${process.versions.node} does not read TypeScript; give it as JavaScript (.mjs), or use Node.js 22.18 or later`;
}

/** Checks what a predicate returns. */
function askedOf(predicate: (...blocks: SequenceBlock[]) => unknown, name: string): AttentionPredicate {
  return (query, key) => {
    const pair = `${nameOf(query)} and ${nameOf(key)}`;
    let answer: unknown;
    try {
      answer = predicate({ ...query }, { ...key });
    } catch (cause) {
      throw new ConfigError(`${name}: failed for ${pair}: ${printable(messageOf(cause), MESSAGE)}`, {
        cause,
      });
    }
    if (typeof answer === 'boolean') return answer;
    throw new ConfigError(`${name}: must return true or false, got ${printable(answer)} for ${pair}`);
  };
}

function nameOf({ block, clean }: SequenceBlock): string {
  return `${clean ? 'clean' : 'noised'} block ${block}`;
}

/** Returns a predicate as a setting. @throws {ConfigError} if sampling could not follow it */
function tabulate(sees: AttentionPredicate, blocks: number, name: string): AttentionSetting {
  const numbers = Array.from({ length: blocks }, (_, block) => block);
  const ofKind = (queryClean: boolean, keyClean: boolean) =>
    numbers.map((query) =>
      numbers.map((key) => sees({ block: query, clean: queryClean }, { block: key, clean: keyClean })),
    );
  const [noisedToClean, noisedToNoised] = [ofKind(false, true), ofKind(false, false)];
  const copies = noisedToClean.some((row) => row.includes(true));
  if (!copies) {
    if (blocks > 1 && noisedToNoised.every((row) => !row.includes(false))) return 'full';
    return checked({ noised: rowsOf(noisedToNoised) }, blocks, name);
  }
  requireNone(
    noisedToNoised,
    (query, key) => query !== key,
    (query, key) =>
      `${name}: noised block ${query} attends noised block ${key}, and others attend clean ones; use one or the other`,
  );
  requireNone(
    ofKind(true, false),
    () => true,
    (query, key) =>
      `${name}: clean block ${query} attends noised block ${key}; a finished block can attend finished blocks only`,
  );
  requireNone(
    noisedToClean,
    (query, key) => query === key,
    (query) => `${name}: noised block ${query} attends its own clean copy, which is what it has to predict`,
  );
  const own = (query: number, key: number): boolean => query === key && noisedToNoised[query]?.[key] === true;
  const noised = noisedToClean.map((row, query) => row.map((answer, key) => answer || own(query, key)));
  return checked({ noised: rowsOf(noised), clean: rowsOf(ofKind(true, true)) }, blocks, name);
}

/** @throws {ConfigError} for the first pair that is attended although it matches */
function requireNone(
  answers: readonly (readonly boolean[])[],
  matches: (query: number, key: number) => boolean,
  message: (query: number, key: number) => string,
): void {
  for (const [query, row] of answers.entries()) {
    const key = row.findIndex((answer, key) => answer && matches(query, key));
    if (key >= 0) throw new ConfigError(message(query, key));
  }
}

function rowsOf(answers: readonly (readonly boolean[])[]): string[] {
  return answers.map((row) => row.map((answer) => (answer ? '1' : '0')).join(''));
}

/** Returns a table, or the name of the same predicate. */
function checked(table: AttentionTable, blocks: number, name: string): AttentionSetting {
  const problem = attentionProblem(table, blocks);
  if (problem) throw new ConfigError(`${name}: ${problem}`);
  const named = (['skip-causal', 'block-causal'] as const).find((known) => isSame(table, known, blocks));
  return named ?? table;
}

function isSame(table: AttentionTable, known: 'skip-causal' | 'block-causal', blocks: number): boolean {
  const [own, other] = [attentionOf({ attention: table }), attentionOf({ attention: known })];
  if (own.copies !== other.copies) return false;
  // The last clean block is not part of the training sequence.
  const kinds = own.copies ? [false, true] : [false];
  return kinds.every((clean) =>
    table.noised.every((_, block) => {
      if (clean && block === blocks - 1) return true;
      return own.before({ block, clean }).length === other.before({ block, clean }).length;
    }),
  );
}
