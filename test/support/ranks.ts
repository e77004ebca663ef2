/** @file Programs that an MPI launcher starts on several ranks, where one is installed. */

import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CliResult } from './cli.ts';

/** As built: a worker thread cannot run the source as it stands, and it starts faster. */
export const BUILT_CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** An implementation of MPI, by its launcher. */
export interface Launcher {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** Debian's names: both can be installed at once. */
const KNOWN: readonly Launcher[] = [
  { name: 'Open MPI', command: 'mpirun.openmpi', args: ['--oversubscribe'] },
  { name: 'MPICH', command: 'mpiexec.hydra', args: [] },
];

/** The launchers of this machine. Tests without one are skipped, unless ACDIT_REQUIRE_MPI is set, as in CI. */
export const launchers = KNOWN.filter(
  ({ command }) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0,
);
if (launchers.length < KNOWN.length) {
  const missing = KNOWN.filter((one) => !launchers.includes(one)).map(({ name }) => name);
  const problem = `${missing.join(' and ')} not installed: tests with several ranks are skipped`;
  if (process.env.ACDIT_REQUIRE_MPI) throw new Error(problem);
  console.warn(problem);
}

/** A launcher with what it has started. */
export interface RunningRanks {
  readonly child: ReturnType<typeof spawn>;
  readonly result: Promise<CliResult & { readonly seconds: number }>;
  /** Resolves when standard output holds the text; rejects if it ends without. */
  printed(text: string): Promise<void>;
}

/** Starts a program of Node on some ranks. */
export function startRanks(
  { command, args }: Launcher,
  count: number,
  program: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningRanks {
  const started = performance.now();
  const child = spawn(command, [...args, '-n', String(count), process.execPath, ...program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1', ...env },
  });
  let [stdout, stderr] = ['', ''];
  let wake = (): void => {};
  let ended = false;
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    wake();
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const result = new Promise<CliResult & { seconds: number }>((resolve) => {
    child.on('close', (code) => {
      ended = true;
      wake();
      resolve({ code, stdout, stderr, seconds: (performance.now() - started) / 1000 });
    });
  });
  return {
    child,
    result,
    async printed(text) {
      while (!stdout.includes(text)) {
        if (ended) throw new Error(`it ended without printing ${text}: ${stderr}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** Runs a program of Node on some ranks to its end. */
export function runRanks(...args: Parameters<typeof startRanks>): RunningRanks['result'] {
  return startRanks(...args).result;
}
