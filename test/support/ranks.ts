/** @file Programs that an MPI launcher starts on several ranks, where one is installed. */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { CliResult } from './cli.ts';

export { BUILT_CLI } from './built-cli.ts';

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
  /** Resolves when standard output, or the other stream, holds the text; rejects if it ends without. */
  printed(text: string, stream?: 'stdout' | 'stderr'): Promise<void>;
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
    wake();
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
    async printed(text, stream = 'stdout') {
      while (!(stream === 'stdout' ? stdout : stderr).includes(text)) {
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

/** Lines of acdit itself: launchers add theirs. */
export function ownLines(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line.startsWith('acdit: '));
}

/** Process ids of the ranks of a running launcher, by rank. */
export function pidsOf({ child }: RunningRanks): number[] {
  const list = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' });
  const rows = list.split('\n').map((line) => line.trim().split(/\s+/));
  const parents = new Set([String(child.pid)]);
  for (const [pid, parent] of rows) if (parents.has(parent!)) parents.add(pid!); // hydra has a proxy
  const nodes = rows.filter(
    ([pid, parent, program]) => parents.has(parent!) && program === process.execPath && pid,
  );
  const rankOf = (pid: string): number => {
    const env = execFileSync('cat', [`/proc/${pid}/environ`], { encoding: 'utf8' }).split('\0');
    const found = env.find((entry) => /^(OMPI_COMM_WORLD_RANK|PMI_RANK)=/.test(entry));
    return Number(found?.split('=')[1]);
  };
  const pids: number[] = [];
  for (const [pid] of nodes) pids[rankOf(pid!)] = Number(pid);
  return pids;
}
