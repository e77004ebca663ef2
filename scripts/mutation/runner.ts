/**
 * @file A runner for Vitest that repeats each test with every mutant that it reaches, in the same process, until some test
 * has failed with the mutant. What runs while a module is loaded is not repeated.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { TestRunner } from 'vitest';

/** CPU seconds of a test that is too slow to be repeated. */
const SLOW = Number(process.env.MUTATION_SLOW);
/** A mutant's test hangs after this many milliseconds, or after this multiple of the unchanged code's time. */
const HANGING = 3000;
const HANGING_TIMES = 20;
/** How many times more often than in the unchanged source a mutant may be reached, before it counts as an endless loop. */
const ENDLESS = 100;
const ENDLESS_AT_LEAST = 1000;

/** What instrumented code reads and writes. */
interface Switchboard {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number;
  mutantCoverage?: {
    readonly static: Readonly<Record<string, number>>;
    readonly perTest: Readonly<Record<string, Readonly<Record<string, number>>>>;
  };
}

/** The runner's results, written to the file `MUTATION_RESULTS`. */
export interface MutationResults {
  readonly killed: readonly string[];
  readonly reached: readonly string[];
  /** Reached while a module was loaded, and not repeated. */
  readonly loading: readonly string[];
  readonly slowTests: readonly string[];
}

type Test = Parameters<NonNullable<TestRunner['onBeforeTryTask']>>[0];

const shared = globalThis as typeof globalThis & { __stryker__?: Switchboard; mutationState?: State };
shared.__stryker__ ??= {};
const switchboard = shared.__stryker__;

class State {
  readonly tested = new Set<string>(JSON.parse(readFileSync(process.env.MUTATION_TESTED ?? '', 'utf8')));
  readonly killed = new Set<string>();
  readonly reached = new Set<string>();
  readonly slowTests = new Set<string>();
}
/** One for all test files. */
shared.mutationState ??= new State();
const state = shared.mutationState;

/** Vitest asks for a default export. */
export default class MutationRunner extends TestRunner {
  async runTask(test: Test): Promise<void> {
    const run = TestRunner.getTestFn(test as Parameters<typeof TestRunner.getTestFn>[0]);
    switchboard.currentTestId = test.id;
    const cpu = process.cpuUsage();
    const started = performance.now();
    await run();
    switchboard.currentTestId = undefined;
    const { user, system } = process.cpuUsage(cpu);
    const hits = Object.entries(switchboard.mutantCoverage?.perTest[test.id] ?? {});
    for (const [id] of hits) state.reached.add(id);
    if ((user + system) / 1e6 > SLOW) {
      state.slowTests.add(`${test.file.name}: ${test.name}`);
      return;
    }
    const patience = Math.max(HANGING, HANGING_TIMES * (performance.now() - started));
    for (const [id, count] of hits) {
      if (state.tested.has(id) && !state.killed.has(id)) await repeat(run, id, count, patience);
    }
  }

  override onAfterRunFiles(): void {
    const results: MutationResults = {
      killed: [...state.killed],
      reached: [...state.reached],
      loading: Object.keys(switchboard.mutantCoverage?.static ?? {}),
      slowTests: [...state.slowTests],
    };
    writeFileSync(process.env.MUTATION_RESULTS ?? '', JSON.stringify(results));
  }
}

/** Runs a test with a mutant, which is killed if the test fails or hangs. */
async function repeat(run: () => unknown, id: string, hits: number, patience: number): Promise<void> {
  writeFileSync(process.env.MUTATION_RUNNING ?? '', id);
  switchboard.activeMutant = id;
  switchboard.hitCount = 0;
  switchboard.hitLimit = ENDLESS * hits + ENDLESS_AT_LEAST;
  let timer: NodeJS.Timeout | undefined;
  const hanging = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('hangs')), patience);
  });
  try {
    await Promise.race([Promise.resolve().then(run), hanging]);
  } catch {
    state.killed.add(id);
  }
  clearTimeout(timer);
  switchboard.activeMutant = undefined;
  switchboard.hitCount = undefined;
}
