/** @file `acdit serve` as built, in a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { BUILT_CLI } from './built-cli.ts';

/** A server in a process of its own. */
export interface ServeProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Its exit code; null if a signal ended it. */
  readonly ended: Promise<number | null>;
  /** What it wrote to standard error. */
  logged(): string;
}

/** Milliseconds for a server to load its models. */
const START = 90_000;

/**
 * Starts `acdit serve` on a free port, and waits until it answers requests.
 * @param started gets the process at once, so that the caller can end it if it does not serve
 */
export async function startServing(
  args: readonly string[],
  started: (child: ChildProcess) => void = () => {},
): Promise<ServeProcess> {
  const child = spawn(process.execPath, [BUILT_CLI, 'serve', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started(child);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const late = performance.now() + START;
  for (;;) {
    const url = /at (http:\S+)/.exec(stdout)?.[1];
    if (url !== undefined) return { url, child, ended, logged: () => stderr };
    if (child.exitCode !== null || performance.now() > late) throw new Error(`it does not serve: ${stderr}`);
    await sleep(50);
  }
}
