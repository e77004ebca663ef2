/**
 * @file Feeds damaged input to all readers of foreign data: files, requests, arguments. Exits with code 1 if a case fails,
 * and prints how to repeat it; add such a case to test/fuzz-cases.json once it is fixed.
 * Usage: npm run fuzz -- [MINUTES] [--seed N] [--reader NAME] [--cases N per reader] [--case N, to repeat one]
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import keptCases from '../test/fuzz-cases.json' with { type: 'json' };
import { caseSeed } from './fuzz/random.ts';
import { type Case, type Finding, openTargets, runCase } from './fuzz/run.ts';
import type { Target } from './fuzz/target.ts';

/** Milliseconds after which a case counts as hanging: more than a busy machine needs to start ffmpeg. */
const HANGING = 120_000;
/** Milliseconds of a reader's turn. */
const TURN = 1000;
/** Max findings that are printed per reader. */
const SHOWN = 5;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    reader: { type: 'string' },
    cases: { type: 'string' },
    case: { type: 'string' },
  },
});
const minutes = Number(positionals[0] ?? (values.cases === undefined ? 1 : Number.POSITIVE_INFINITY));
const runSeed = Number(values.seed ?? Math.floor(Date.now() / 1000));
const most = Number(values.cases ?? Number.POSITIVE_INFINITY);

interface Tally {
  readonly target: Target;
  cases: number;
  seconds: number;
  readonly findings: Finding[];
}

/** Runs a reader's cases for a turn. */
async function turn(tally: Tally, deadline: number): Promise<void> {
  const started = performance.now();
  const end = Math.min(started + TURN, deadline);
  while (performance.now() < end && tally.cases < most) {
    await tryCase(tally, values.case === undefined ? caseSeed(runSeed, tally.cases) : Number(values.case));
    if (values.case !== undefined) break;
  }
  tally.seconds += (performance.now() - started) / 1000;
}

async function tryCase(tally: Tally, seed: number): Promise<void> {
  process.send?.({ reader: tally.target.name, seed } satisfies Case);
  const finding = await runCase(tally.target, seed);
  tally.cases++;
  if (finding && tally.findings.push(finding) <= SHOWN) report(finding);
}

/** Repeats the cases that once failed. */
async function repeatKept(tallies: readonly Tally[]): Promise<void> {
  for (const { reader, seed } of keptCases) {
    for (const tally of tallies) if (tally.target.name === reader) await tryCase(tally, seed);
  }
}

function report({ reader, seed, problem }: Finding): void {
  console.log(`FOUND ${reader}: ${problem}`);
  console.log(`  again: npm run fuzz -- --reader '${reader}' --case ${seed}`);
}

/** The process that reads: all readers in turns. */
async function work(): Promise<boolean> {
  const { targets, close } = await openTargets();
  const chosen = targets.filter(({ name }) => values.reader === undefined || name === values.reader);
  if (chosen.length === 0) {
    console.log(
      `unknown reader '${values.reader}'; the readers are ${targets.map(({ name }) => name).join(', ')}`,
    );
    return false;
  }
  const tallies = chosen.map((target): Tally => ({ target, cases: 0, seconds: 0, findings: [] }));
  if (values.case === undefined) await repeatKept(tallies);
  const deadline = performance.now() + 60_000 * minutes;
  let left = tallies;
  while (left.length > 0 && performance.now() < deadline) {
    for (const tally of left) await turn(tally, deadline);
    left = values.case === undefined ? left.filter(({ cases }) => cases < most) : [];
  }
  await close();
  for (const { target, cases, seconds, findings } of tallies) {
    const rate = Math.round((60 * cases) / Math.max(seconds, 0.001));
    console.log(`${target.name}: ${cases} cases, ${rate} per minute, ${findings.length} findings`);
  }
  const sum = (of: (tally: Tally) => number): number =>
    tallies.reduce((total, tally) => total + of(tally), 0);
  const found = sum(({ findings }) => findings.length);
  console.log(
    `total: ${sum(({ cases }) => cases)} cases in ${Math.round(sum(({ seconds }) => seconds))} s, ${found} findings`,
  );
  return found === 0;
}

/** The process that watches the other one: it reports a case that crashed or hung. */
function watch(): void {
  console.log(`seed ${runSeed}`);
  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--seed', String(runSeed)], {
    execArgv: process.execArgv,
  });
  let last: Case | undefined;
  let since = performance.now();
  child.on('message', (message) => {
    last = message as Case;
    since = performance.now();
  });
  const timer = setInterval(() => {
    if (last && performance.now() - since > HANGING) child.kill('SIGKILL');
  }, 1000);
  child.on('exit', (code, signal) => {
    clearInterval(timer);
    if (code !== null && code <= 1) process.exitCode = code;
    else {
      process.exitCode = 1;
      if (last) report({ ...last, problem: `crashed or hung (${signal ?? `code ${code}`})` });
    }
  });
}

if (process.send) process.exit((await work()) ? 0 : 1);
else watch();
