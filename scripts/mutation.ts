/**
 * @file Mutation testing: changes the source in one place at a time (`<` to `<=`, `+` to `-`, a condition to `true`) and runs
 * the tests next to it. A change that no test notices is printed. The changes are those of Stryker, whose instrumenter is
 * installed in .cache/mutation; all of them are tested in one process, which takes milliseconds per change.
 * Usage: npm run mutation -- PATH... [--tests PATH]... [--sample N] [--slow SECONDS]
 * A test that takes longer than --slow (CPU seconds, default 3) is not repeated.
 */

import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startVitest } from 'vitest/node';
import { instrument, type Mutant, sampled } from './mutation/mutants.ts';
import type { MutationResults } from './mutation/runner.ts';

/** Ignored by git, and inside the repository so that its packages are found. */
const CACHE = '.cache/mutation';
const COPY = join(CACHE, 'copy');
const RESULTS = resolve(CACHE, 'results.json');
const TESTED = resolve(CACHE, 'tested.json');
/** Names the mutant that is being tested, should it end the process. */
const RUNNING = resolve(CACHE, 'running.txt');
/** Max characters of source and of its replacement in a line of output. */
const SHOWN = 90;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: 'string', multiple: true },
    sample: { type: 'string' },
    slow: { type: 'string', default: '3' },
  },
});
if (positionals.length === 0) {
  console.error('usage: npm run mutation -- PATH... [--tests PATH]... [--sample N] [--slow SECONDS]');
  process.exit(2);
}
const paths = positionals
  .flatMap(filesIn)
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'));
const { files, mutants } = await instrument(paths, CACHE);
const counted = mutants.filter(({ status }) => status !== 'Ignored');
const tested = values.sample === undefined ? counted : sampled(counted, Number(values.sample));
const crashed: string[] = [];
while (!(await test())) {
  if (!existsSync(RUNNING)) {
    console.error('no test was run: name test files with --tests');
    process.exit(1);
  }
  crashed.push(readFileSync(RUNNING, 'utf8'));
}
const results: MutationResults = JSON.parse(readFileSync(RESULTS, 'utf8'));
report({ ...results, killed: [...results.killed, ...crashed] });

function filesIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name));
}

/** Tests a copy of the repository in which the files have their mutants. False: a mutant ended the process, or no test ran. */
async function test(): Promise<boolean> {
  for (const path of [COPY, RESULTS, RUNNING]) rmSync(path, { recursive: true, force: true });
  for (const name of ['package.json', 'tsconfig.json', 'src', 'test']) {
    cpSync(name, join(COPY, name), { recursive: true });
  }
  for (const name of ['models', 'recipes']) symlinkSync(resolve(name), join(COPY, name));
  for (const { name, content } of files) writeFileSync(join(COPY, name), content);
  writeFileSync(TESTED, JSON.stringify(tested.map(({ id }) => id).filter((id) => !crashed.includes(id))));
  const folders = positionals.map((path) => (path.endsWith('.ts') ? dirname(path) : path));
  const vitest = await startVitest('test', values.tests ?? folders, {
    root: COPY,
    config: false,
    watch: false,
    reporters: ['dot'],
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks', // ONNX Runtime aborts in threads that end early
    isolate: false,
    maxWorkers: 1,
    runner: resolve('scripts/mutation/runner.ts'),
    setupFiles: [resolve('scripts/mutation/setup.ts')],
    env: {
      HF_ENDPOINT: 'http://127.0.0.1:1',
      HF_HOME: 'no-such-folder',
      MUTATION_RESULTS: RESULTS,
      MUTATION_TESTED: TESTED,
      MUTATION_RUNNING: RUNNING,
      MUTATION_SLOW: values.slow,
    },
    testTimeout: 2 ** 31 - 1,
    dangerouslyIgnoreUnhandledErrors: true,
  });
  await vitest.close();
  return existsSync(RESULTS);
}

/** Prints the mutants that no test noticed, and a table of scores. */
function report({ killed, reached, loading, slowTests }: MutationResults): void {
  const [killedIds, reachedIds, loadingIds] = [killed, reached, loading].map((ids) => new Set(ids));
  const scores = new Map<string, Record<string, number>>();
  const count = (path: string, fate: string): void => {
    const score = scores.get(path) ?? { mutants: 0, killed: 0, survived: 0, 'not reached': 0, 'at load': 0 };
    scores.set(path, { ...score, [fate]: (score[fate] ?? 0) + 1, mutants: (score.mutants ?? 0) + 1 });
  };
  const fateOf = ({ id }: Mutant): string => {
    if (killedIds?.has(id)) return 'killed';
    if (reachedIds?.has(id)) return 'survived';
    return loadingIds?.has(id) ? 'at load' : 'not reached';
  };
  for (const mutant of tested) {
    const fate = fateOf(mutant);
    if (fate === 'survived' || fate === 'not reached') console.log(`${fate}: ${describe(mutant)}`);
    for (const path of [mutant.fileName, dirname(mutant.fileName), 'all']) count(path, fate);
  }
  for (const name of slowTests) console.log(`too slow to repeat: ${name}`);
  console.log(`\n| path | ${Object.keys(scores.get('all') ?? {}).join(' | ')} | score |`);
  console.log(`| --- |${' --- |'.repeat(6)}`);
  for (const [path, score] of [...scores].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const share = (score.killed ?? 0) / ((score.mutants ?? 0) - (score['at load'] ?? 0));
    console.log(`| ${path} | ${Object.values(score).join(' | ')} | ${(100 * share).toFixed(1)}% |`);
  }
}

/** Says where a mutant is, and what it replaces. */
function describe({ fileName, location: { start, end }, replacement }: Mutant): string {
  const line = readFileSync(fileName, 'utf8').split('\n')[start.line] ?? '';
  const original = line.slice(start.column, start.line === end.line ? end.column : undefined);
  const changed = replacement.replaceAll(/\s+/g, ' ').slice(0, SHOWN);
  return `${fileName}:${start.line + 1}:${start.column + 1}: ${original.slice(0, SHOWN)} -> ${changed}`;
}
