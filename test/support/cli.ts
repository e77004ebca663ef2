/** @file The command line in tests: in this process, where that is enough, or as a process of its own. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'vitest';
import { runCli } from '../../src/cli/run.ts';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run a command in this process. */
export async function runInProcess(
  args: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    signal,
  });
  return { code, stdout, stderr };
}

export interface RunningCli {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly result: Promise<CliResult>;
  /** Resolves when standard output holds `text`. */
  printed(text: string): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** Start `acdit` from its source. */
export function startCli(args: readonly string[], cwd?: string): RunningCli {
  const child = spawn(process.execPath, ['--import', LOADER, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd,
  });
  let stdout = '';
  let stderr = '';
  const waiting: { text: string; resolve: () => void }[] = [];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    for (const { text, resolve } of waiting) if (stdout.includes(text)) resolve();
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const result = new Promise<CliResult>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    child,
    result,
    printed: (text) =>
      stdout.includes(text) ? Promise.resolve() : new Promise((resolve) => waiting.push({ text, resolve })),
  };
}

/** Run `acdit` to its end. */
export function spawnCli(args: readonly string[], cwd?: string): Promise<CliResult> {
  return startCli(args, cwd).result;
}

/** Run `acdit` to its end, with a file as its standard output. */
export function spawnCliTo(file: string, args: readonly string[]): Promise<CliResult> {
  const stdout = openSync(file, 'w');
  const child = spawn(process.execPath, ['--import', LOADER, MAIN, ...args], {
    stdio: ['ignore', stdout, 'pipe'],
  });
  closeSync(stdout);
  let stderr = '';
  child.stderr!.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout: '', stderr })));
}

/** The last line that was printed. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

/** Expects that a command refused its input in one line that contains, or matches, all messages. */
export function expectBadInput({ code, stderr }: CliResult, ...messages: (string | RegExp)[]): void {
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  for (const message of messages) expect(stderr).toMatch(message);
  expect(code).toBe(2);
}
