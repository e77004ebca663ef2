/**
 * @file A command on several ranks. The first rank reports, the others are silent unless something concerns them alone; and
 * none of them may wait for others that have failed.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../attempt.ts';
import { rankName, SharedFailure } from '../distributed/agree.ts';
import { factsOfAll, processorKind, requireAlike } from '../distributed/alike.ts';
import type { Communicator, Ranks } from '../distributed/communicator.ts';
import { detectLaunch, type Launch } from '../distributed/launcher.ts';
import { connectRanks } from '../distributed/mpi-communicator.ts';
import { AcditError, ArgumentError, DeviceError } from '../errors.ts';
import { counted } from '../io/quantities.ts';
import { packageVersion } from '../package-version.ts';
import { silentReporter } from '../runs/reporter.ts';
import { onnxRuntimeVersion } from '../runtime/node.ts';
import { STOP_SIGNALS } from '../stop-signals.ts';
import type { CommandContext } from './command.ts';
import { EXIT, reportFailure } from './failure.ts';
import { type Flags, wholeNumber } from './flags.ts';
import type { TerminalReporter } from './reporter.ts';

/** Seconds; the first rank gives a sign of life every 10 seconds while the others wait for it. */
const SHORTEST_TIMEOUT = 30;

/** Flags of commands that run on several ranks. */
export const rankFlags = {
  'mpi-timeout': {
    value: 'SECONDS',
    parse: wholeNumber(SHORTEST_TIMEOUT),
    help: 'with mpirun or srun: how long processes wait for one another before they fail (default: 1800)',
  },
} as const satisfies Flags;

/** Settings of the ranks, from the command line. */
export interface RankValues {
  readonly mpiTimeout?: number | undefined;
  readonly verbose: boolean;
}

/** Milliseconds in which a launcher ends the other ranks when the first has reported a failure and has ended. */
const REPORTED_MS = 5000;
/** Signals this close, in milliseconds, are one. */
const SAME_SIGNAL_MS = 250;
/** Seconds that a rank which was asked to stop waits for others, besides the time that calls have taken so far. */
const STOPPING = 5;

/** @throws {ArgumentError} if a launcher has started several processes of a command that works in one. */
export function requireOneProcess(command: string): void {
  const { size = 1, launcher } = detectLaunch(process.env) ?? {};
  if (size === 1) return;
  throw new ArgumentError(
    `${launcher} started ${size} processes, and acdit ${command} works in one: start it without ${launcher}`,
  );
}

/**
 * Runs a command's work, on the ranks that a launcher has started if one has. Does not return if it fails on ranks: a rank
 * that waits in MPI cannot end in any other way than at once.
 */
export async function onRanks<T>(
  context: CommandContext,
  values: RankValues,
  work: (context: CommandContext, ranks?: Ranks) => Promise<T>,
): Promise<T | typeof EXIT.interrupted> {
  const launch = detectLaunch(process.env);
  if (!launch) return work(context);
  const [wish, stop] = [new AbortController(), new AbortController()];
  let ranks: Communicator | undefined;
  const end = (error: unknown): Promise<never> =>
    endRank(context.named(error), launch, ranks, context, values.verbose);
  const fatal = (error: unknown): void => void end(error);
  process.on('uncaughtException', fatal);
  const quiet = watchSignals(context.signal, wish, () => ranks);
  try {
    ranks = await connect(launch, values.mpiTimeout, (error) => fatal(error));
    const own = { ...context, report: reporterOf(ranks, context.report), signal: stop.signal };
    await describeRanks(ranks, own.report);
    const result = await work(own, { communicator: ranks, wish: wish.signal, stop });
    await ranks.close();
    return result;
  } catch (error) {
    if (!stop.signal.aborted || error !== stop.signal.reason || !ranks?.alive) return await end(error);
    await ranks.close();
    return EXIT.interrupted;
  } finally {
    quiet();
    process.off('uncaughtException', fatal);
  }
}

function connect(
  launch: Launch,
  patience: number | undefined,
  onHang: (error: Error) => void,
): Promise<Communicator> {
  return connectRanks(launch, {
    library: process.env.ACDIT_MPI_LIBRARY,
    ...(patience !== undefined && { patience }),
    onHang: (call, seconds) =>
      onHang(
        new DeviceError(
          `waited ${Math.round(seconds)} seconds for the other ranks (${call}): one of them hangs or cannot be reached; if it ` +
            'only takes longer, give a longer --mpi-timeout',
        ),
      ),
  });
}

/** Checks that the ranks have the same software, and reports who they are. */
async function describeRanks(ranks: Communicator, { say, warn }: TerminalReporter): Promise<void> {
  await requireAlike(ranks, {
    'the version of acdit': packageVersion(),
    'the version of ONNX Runtime': onnxRuntimeVersion,
  });
  const all = await factsOfAll(ranks, { processor: processorKind() });
  const machines = new Set(all.map(({ host }) => host)).size;
  say(`${ranks.size} processes on ${counted(machines, 'machine')}, ${ranks.library}`);
  const other = all.findIndex(({ processor }) => processor !== all[0]?.processor);
  if (other < 0) return;
  warn(
    `the processor of rank ${other} on ${all[other]?.host} differs from that of ${all[0]?.host} in its vector extensions: ` +
      'results may depend on which rank computes what',
  );
}

/** The first rank reports; of the others, only warnings are shown. */
function reporterOf(ranks: Communicator, report: TerminalReporter): TerminalReporter {
  if (ranks.rank === 0) return report;
  return { ...silentReporter, print() {}, warn: (message) => report.warn(`${rankName(ranks)}: ${message}`) };
}

/**
 * Turns signals into the wish to stop. A second one quits at once, which `process.exit` cannot while a thread is in MPI; so
 * does a rank that waits for others that do not answer.
 */
function watchSignals(
  signal: AbortSignal,
  wish: AbortController,
  ranks: () => Communicator | undefined,
): () => void {
  let first: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  const quit = (): void => ranks()?.exit(EXIT.interrupted);
  const onSignal = (name: NodeJS.Signals): void => {
    if (first !== undefined && name !== 'SIGHUP' && Date.now() - first > SAME_SIGNAL_MS) quit();
    first ??= Date.now();
    timer ??= setInterval(() => {
      const { current = 0, longest = 0 } = ranks()?.waiting ?? {};
      if (current > STOPPING + longest) quit();
    }, 500);
  };
  const onAbort = (): void => wish.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort);
  for (const name of STOP_SIGNALS) process.prependListener(name, onSignal);
  return () => {
    signal.removeEventListener('abort', onAbort);
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
    clearInterval(timer);
  };
}

/**
 * Reports a failure and ends this process at once. What all ranks know of is reported by the first, and what keeps ranks from
 * connecting by the first of each machine; the others wait until the launcher ends them.
 */
async function endRank(
  error: unknown,
  launch: Launch,
  ranks: Communicator | undefined,
  { terminal }: CommandContext,
  verbose: boolean,
): Promise<never> {
  const exit = (code: number): never => (ranks ? ranks.exit(code) : process.exit(code));
  if (ranks?.rank === 0 || (ranks === undefined && launch.rank === 0)) {
    return exit(reportFailure(error, verbose, terminal));
  }
  for (const name of STOP_SIGNALS) process.prependListener(name, () => exit(EXIT.interrupted));
  await sleep(REPORTED_MS);
  if (error instanceof SharedFailure || (!ranks && launch.localRank > 0)) return exit(EXIT.badInput);
  const name = rankName(ranks ?? launch);
  const named = error instanceof AcditError ? new AcditError(`${name}: ${messageOf(error)}`) : error;
  return exit(reportFailure(named, verbose, terminal));
}
