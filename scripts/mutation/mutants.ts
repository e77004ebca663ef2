/** @file Changes source in one place at a time: the mutants of Stryker's instrumenter, all in one copy of the files. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const VERSION = '9.6.1';

/** Lines and columns are counted from 0. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A change of the source. */
export interface Mutant {
  readonly id: string;
  readonly fileName: string;
  readonly replacement: string;
  readonly location: { readonly start: Position; readonly end: Position };
  /** `Ignored` for texts of errors. */
  readonly status?: string;
}

/** Source files with all their mutants, each of which is off until its id is `__stryker__.activeMutant`. */
export interface Instrumented {
  readonly files: readonly { readonly name: string; readonly content: string }[];
  readonly mutants: readonly Mutant[];
}

/** What is used of `@stryker-mutator/instrumenter`, which is not a dependency. */
interface InstrumenterModule {
  readonly Instrumenter: new (
    log: object,
  ) => {
    instrument(files: readonly object[], options: object): Promise<Instrumented>;
  };
}

/** A node of a syntax tree, as Babel shows it to plugins. */
interface SyntaxPath {
  readonly node: { readonly callee?: { readonly name?: string } };
  isStringLiteral(): boolean;
  isTemplateLiteral(): boolean;
  isThrowStatement(): boolean;
  isNewExpression(): boolean;
  findParent(matches: (path: SyntaxPath) => boolean): SyntaxPath | null;
}

/** Installs Stryker's instrumenter in a folder, unless it is there. */
function install(folder: string): void {
  const name = '@stryker-mutator/instrumenter';
  const description = join(folder, 'node_modules', name, 'package.json');
  if (existsSync(description) && JSON.parse(readFileSync(description, 'utf8')).version === VERSION) return;
  mkdirSync(folder, { recursive: true });
  execFileSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', `${name}@${VERSION}`]);
}

/** Makes all mutants of some files. @param folder where Stryker is installed. */
export async function instrument(paths: readonly string[], folder: string): Promise<Instrumented> {
  install(folder);
  const path = resolve(folder, 'node_modules/@stryker-mutator/instrumenter/dist/src/index.js');
  const { Instrumenter } = (await import(path)) as InstrumenterModule;
  const log = { debug() {}, info() {}, warn: console.warn, isDebugEnabled: () => false };
  const files = paths.map((name) => ({ name, mutate: true, content: readFileSync(name, 'utf8') }));
  const ignorers = [{ shouldIgnore: errorText }];
  return new Instrumenter(log).instrument(files, { plugins: null, excludedMutations: [], ignorers });
}

/** Ignores texts that are thrown or given to a new error, with what they quote. */
function errorText(path: SyntaxPath): string | undefined {
  if (!path.isStringLiteral() && !path.isTemplateLiteral()) return undefined;
  const thrown = path.findParent(
    (parent) =>
      parent.isThrowStatement() ||
      (parent.isNewExpression() && parent.node.callee?.name?.endsWith('Error') === true),
  );
  return thrown ? 'text of an error' : undefined;
}

/** Returns a random sample of mutants: the same in every run, as long as their source stays the same. */
export function sampled(mutants: readonly Mutant[], count: number): Mutant[] {
  const rank = ({ fileName, location: { start }, replacement }: Mutant): string =>
    createHash('sha256')
      .update(['seed 17', fileName, start.line, start.column, replacement].join(' '))
      .digest('hex');
  return mutants
    .map((mutant) => ({ mutant, rank: rank(mutant) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ mutant }) => mutant);
}
