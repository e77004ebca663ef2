/**
 * @file Mutation testing: changes the source in one place at a time (`<` to `<=`, `+` to `-`, a condition to `true`) and
 * runs the tests beside it. A change that no test notices is printed. Uses Stryker, which it installs in .cache/mutation.
 * Usage: npm run mutation -- PATH... [--tests PATTERN...] [--sample N] [--concurrency N]
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

const VERSION = '9.6.1';
/** Ignored by git; inside the repository, so that Stryker finds its Vitest. */
const CACHE = '.cache/mutation';
const REPORT = join(CACHE, 'report.json');

/** The parts of Stryker's report that are used here. */
interface Mutant {
  readonly mutatorName: string;
  readonly replacement: string;
  readonly status: string;
  readonly location: { readonly start: Position; readonly end: Position };
}
interface Position {
  readonly line: number;
  readonly column: number;
}
interface MutatedFile {
  readonly source: string;
  readonly mutants: readonly Mutant[];
}

/** Mutants of one folder or file. */
interface Score {
  killed: number;
  survived: number;
  uncovered: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: 'string', multiple: true },
    sample: { type: 'string' },
    concurrency: { type: 'string', default: String(availableParallelism()) },
  },
});
if (positionals.length === 0) {
  console.error('usage: npm run mutation -- PATH... [--tests PATTERN...] [--sample N] [--concurrency N]');
  process.exit(2);
}
install();
test();
report(JSON.parse(readFileSync(REPORT, 'utf8')).files);

function install(): void {
  const installed = join(CACHE, 'node_modules/@stryker-mutator/core/package.json');
  if (existsSync(installed) && JSON.parse(readFileSync(installed, 'utf8')).version === VERSION) return;
  mkdirSync(CACHE, { recursive: true });
  const packages = ['core', 'vitest-runner'].map((name) => `@stryker-mutator/${name}@${VERSION}`);
  run('npm', ['install', '--prefix', CACHE, '--no-audit', '--no-fund', '--omit=peer', ...packages]);
}

function test(): void {
  const folders = positionals.map((path) => (statSync(path).isDirectory() ? path : dirname(path)));
  const options = {
    mutate: [
      ...positionals.map((path) => (path.endsWith('.ts') ? path : `${path}/**/*.ts`)),
      '!**/*.test.ts',
    ],
    testFiles: values.tests ?? folders.map((folder) => `${folder}/**/*.test.ts`),
    testRunner: 'vitest',
    vitest: { related: false },
    plugins: ['@stryker-mutator/*', './scripts/mutation/plugins.mjs'],
    ignorers: ['error-texts'],
    checkers: values.sample === undefined ? [] : ['sample'],
    concurrency: Number(values.concurrency),
    timeoutMS: 10_000,
    timeoutFactor: 4,
    disableTypeChecks: false,
    tempDirName: join(CACHE, 'sandbox'),
    cleanTempDir: 'always',
    ignorePatterns: ['/.cache', '/dist', '/docs', '/docs-site', '/web'],
    reporters: ['json', 'progress-append-only'],
    jsonReporter: { fileName: REPORT },
  };
  const file = join(CACHE, 'stryker.json');
  writeFileSync(file, JSON.stringify(options));
  run(process.execPath, [join(CACHE, 'node_modules/@stryker-mutator/core/bin/stryker.js'), 'run', file]);
}

function run(command: string, args: readonly string[]): void {
  const env = { ...process.env, MUTATION_SAMPLE: values.sample };
  const { status } = spawnSync(command, args, { stdio: 'inherit', env });
  if (status !== 0) process.exit(status ?? 1);
}

/** Prints the mutants that live, and a table of scores. */
function report(files: Readonly<Record<string, MutatedFile>>): void {
  const scores = new Map<string, Score>();
  for (const [name, { source, mutants }] of Object.entries(files).sort()) {
    const lines = source.split('\n');
    for (const mutant of mutants) {
      if (['Survived', 'NoCoverage'].includes(mutant.status))
        console.log(`${name}:${describe(mutant, lines)}`);
      for (const key of [name, dirname(name)]) count(scores, key, mutant.status);
    }
  }
  console.log(
    '\n| path | mutants | killed | survived | not covered | score |\n| --- | --- | --- | --- | --- | --- |',
  );
  for (const [path, { killed, survived, uncovered }] of [...scores].sort()) {
    const mutants = killed + survived + uncovered;
    const score = `${((100 * killed) / mutants).toFixed(1)}%`;
    if (mutants > 0) console.log(`| ${[path, mutants, killed, survived, uncovered, score].join(' | ')} |`);
  }
}

/** Says what changed: position, line as it is, and what stands there instead. */
function describe({ location, mutatorName, replacement, status }: Mutant, lines: readonly string[]): string {
  const { start, end } = location;
  const last = start.line === end.line ? end.column - 1 : undefined;
  const original = lines[start.line - 1]?.slice(start.column - 1, last);
  const uncovered = status === 'NoCoverage' ? ' (not covered)' : '';
  const short = replacement.replaceAll(/\s+/g, ' ').slice(0, 100);
  return `${start.line}:${start.column} ${mutatorName}${uncovered}: ${original} -> ${short}`;
}

/** Counts a mutant; those that were ignored or are not in the sample do not count. */
function count(scores: Map<string, Score>, key: string, status: string): void {
  const score = scores.get(key) ?? { killed: 0, survived: 0, uncovered: 0 };
  scores.set(key, score);
  if (['Killed', 'Timeout'].includes(status)) score.killed++;
  if (status === 'Survived') score.survived++;
  if (status === 'NoCoverage') score.uncovered++;
}
