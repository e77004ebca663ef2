/** @file Kills commands at random moments, resumes them, and compares what they make with a run that was not killed. */

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { at, take } from '../../src/at.ts';
import { Generator } from '../../src/tensor/generator.ts';
import type { Scenario } from './scenarios.ts';

export interface KillTestOptions {
  readonly scenarios: readonly Scenario[];
  /** How `acdit` is started. */
  readonly command: readonly string[];
  /** Where the runs write; what agrees is removed. */
  readonly folder: string;
  readonly kills: number;
  /** Seed of the random moments. */
  readonly seed: number;
  /** Called with lines of progress. */
  readonly log: (line: string) => void;
}

/** Results of one scenario's runs. */
export interface Tally {
  readonly name: string;
  kills: number;
  /** Runs that were killed at least once, finished by the same command, and compared. */
  runs: number;
  /** Folders of these runs that differ from a run without kills. */
  readonly different: string[];
}

/** A run is killed this often before it may finish. */
const KILLS_PER_RUN = 3;

/** Runs and kills the scenarios until there were enough kills. @throws {Error} if a command fails without being killed */
export async function killTest(options: KillTestOptions): Promise<readonly Tally[]> {
  const { scenarios, folder, kills, seed, log } = options;
  const random = Generator.seeded(seed, 0);
  const tallies = scenarios.map(({ name }): Tally => ({ name, kills: 0, runs: 0, different: [] }));
  const references = [];
  for (const scenario of scenarios) {
    const out = join(folder, `${scenario.name}-whole`);
    mkdirSync(out);
    const started = performance.now();
    await runToEnd(options, scenario, out);
    references.push({ duration: performance.now() - started, outcome: scenario.outcome(out) });
    log(`${scenario.name}: ${((performance.now() - started) / 1000).toFixed(1)} s without a kill`);
  }
  const total = (): number => tallies.reduce((sum, tally) => sum + tally.kills, 0);
  for (let number = 0; total() < kills; number++) {
    const i = number % scenarios.length;
    const [scenario, tally] = [at(scenarios, i), at(tallies, i)];
    const { duration, outcome } = at(references, i);
    const out = join(folder, `${scenario.name}-${number}`);
    mkdirSync(out);
    const killed = await killAndFinish(options, scenario, out, () => at(random.rand(1), 0) * duration);
    if (killed === 0) continue; // this machine is fast at times
    tally.kills += killed;
    tally.runs++;
    if (isDeepStrictEqual(scenario.outcome(out), outcome)) rmSync(out, { recursive: true });
    else tally.different.push(out);
    const verdict = tally.different.includes(out) ? `DIFFERENT: ${out}` : 'the same as without a kill';
    log(`${total()}/${kills} kills: ${scenario.name} killed ${killed} times and resumed: ${verdict}`);
  }
  return tallies;
}

/** @returns how often it was killed */
async function killAndFinish(
  options: KillTestOptions,
  scenario: Scenario,
  out: string,
  moment: () => number,
): Promise<number> {
  for (let kills = 0; kills < KILLS_PER_RUN; kills++) {
    const { child, exit } = start(options, scenario, out);
    const finished = await Promise.race([exit, sleep(moment())]);
    if (finished === undefined) child.kill('SIGKILL');
    const { signal, code, stderr } = await exit;
    if (signal === 'SIGKILL') continue;
    if (code !== 0) throw new Error(`${scenario.name} failed in ${out}: ${stderr}`);
    return kills;
  }
  await runToEnd(options, scenario, out);
  return KILLS_PER_RUN;
}

async function runToEnd(options: KillTestOptions, scenario: Scenario, out: string): Promise<void> {
  const { code, stderr } = await start(options, scenario, out).exit;
  if (code !== 0) throw new Error(`${scenario.name} failed in ${out}: ${stderr}`);
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

function start({ command }: KillTestOptions, scenario: Scenario, out: string) {
  const [program, ...first] = take(command, 1);
  const child = spawn(program, [...first, ...scenario.args(out)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...scenario.env?.(out) },
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const exit = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stderr }));
  });
  return { child, exit };
}
