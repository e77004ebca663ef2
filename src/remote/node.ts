/** @file The transports of Node: child processes and worker threads. Both end with the process that started them. */

import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { parentPort, Worker, type WorkerOptions } from 'node:worker_threads';
import { DeviceError } from '../errors.ts';
import { leaveStopSignalsToParent } from '../stop-signals.ts';
import type { Calls, OwnerPort, Port } from './protocol.ts';
import { type Handlers, serve } from './serve.ts';

/** Milliseconds for the calls of a process to end when its parent has: their own processes end with them. */
const GRACE_MS = 200;
/** Milliseconds for a process to end before it is killed. */
const CHILD_PATIENCE_MS = 1000;
/** Milliseconds for a worker thread to end before it is terminated, which may interrupt native code. */
const THREAD_PATIENCE_MS = 5000;
/** Asks a worker thread to end: it has no other sign that its parent has disposed of it. */
const CLOSE = 'close';

/**
 * Returns the URL of a program next to a module, as source or compiled like the module.
 * @param module `import.meta.url`
 */
export function programBeside(module: string, name: string): URL {
  return new URL(`./${name}${module.endsWith('.ts') ? '.ts' : '.js'}`, module);
}

/**
 * Starts a child process whose program calls {@link serveChild}.
 * @param name what to call it in messages, such as "the decoder"
 */
export function startChild(
  program: URL,
  name: string,
  stderr: 'inherit' | 'pipe' = 'inherit',
): OwnerPort & Pick<ChildProcess, 'pid' | 'stderr'> {
  const child = fork(program, {
    execArgv: argumentsForFiles(process.execArgv),
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', stderr, 'ipc'],
  });
  const ended = new Promise<Error>((resolve) => {
    child.on('error', (cause) =>
      resolve(new DeviceError(`${name} cannot be started: ${cause.message}`, { cause })),
    );
    child.once('exit', (code, killer) => resolve(endedEarly(name, killer ?? `exit code ${code}`)));
  });
  return {
    name,
    pid: child.pid,
    stderr: child.stderr,
    send: (message) => void child.send(message as object, () => {}), // failures show when it ends
    listen(onMessage, onEnd) {
      child.on('message', onMessage);
      ended.then(onEnd);
    },
    keepAlive: (busy) => keepAlive(child, busy),
    async close() {
      keepAlive(child, true);
      if (child.connected) child.disconnect();
      const late = setTimeout(() => child.kill('SIGKILL'), CHILD_PATIENCE_MS);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Returns Node's arguments without those of a program that is a text: the children's are files. */
function argumentsForFiles(args: readonly string[]): string[] {
  const textOption = /^(-e|-p|-pe|--eval|--print)$/;
  return args.filter(
    (arg, i) =>
      !/^--(input-type|eval|print)\b/.test(arg) &&
      !textOption.test(arg) &&
      !textOption.test(args[i - 1] ?? ''),
  );
}

/**
 * Returns options of a worker thread, which takes over Node's arguments. `--input-type` is only for the program that is a
 * text, so with it the thread is given those arguments that load modules; Node refuses others.
 */
function threadOptions(args: readonly string[]): WorkerOptions {
  if (!args.some((arg) => arg.startsWith('--input-type'))) return {};
  const loads = /^(--import|--require|-r|--conditions|-C)(=|$)/;
  const takesNext = (arg: string | undefined): boolean => loads.test(arg ?? '') && !arg?.includes('=');
  return { execArgv: args.filter((arg, i) => loads.test(arg) || takesNext(args[i - 1])) };
}

/** Sets whether this process waits for a child to end before it ends. */
function keepAlive(child: ChildProcess, busy: boolean): void {
  const handles = [child, child.channel, child.stderr as Socket | null];
  for (const handle of handles) busy ? handle?.ref?.() : handle?.unref?.();
}

/** Answers calls in a child process until its parent ends or disposes of it. Signals are left to the parent. */
export function serveChild<C extends Calls<C>>(handlers: Handlers<C>): void {
  const port: Port = {
    send: (message) => void process.send?.(message, () => {}), // without a parent this process ends
    listen(onMessage, onEnd) {
      process.on('message', onMessage);
      process.once('disconnect', () => onEnd(new Error('the parent has ended')));
    },
  };
  process.once('disconnect', () => setTimeout(() => process.exit(), GRACE_MS));
  leaveStopSignalsToParent();
  if (!process.connected) process.exit(); // the parent ended before this program began
  serve(port, handlers).then(() => process.exit());
}

/**
 * Starts a worker thread whose program calls {@link serveWorkerThread}.
 * @param name what to call it in messages
 */
export function startWorkerThread(program: URL, name: string): OwnerPort {
  const worker = new Worker(program, threadOptions(process.execArgv));
  const ended = new Promise<Error>((resolve) => {
    worker.on('error', (cause) => resolve(new DeviceError(`${name} failed: ${cause.message}`, { cause })));
    worker.once('exit', (code) => resolve(endedEarly(name, `exit code ${code}`)));
  });
  return {
    name,
    send: (message, transfer = []) => worker.postMessage(message, transfer),
    listen(onMessage, onEnd) {
      worker.on('message', onMessage);
      ended.then(onEnd);
    },
    async close() {
      worker.postMessage(CLOSE);
      const late = setTimeout(() => worker.terminate(), THREAD_PATIENCE_MS);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Answers calls in a worker thread until its parent disposes of it; then lets its calls end. */
export function serveWorkerThread<C extends Calls<C>>(handlers: Handlers<C>): void {
  if (!parentPort) throw new Error('this program runs in a worker thread');
  const parent = parentPort;
  const port: Port = {
    send: (message, transfer = []) => parent.postMessage(message, transfer),
    listen(onMessage, onEnd) {
      parent.on('message', (message) => {
        if (message === CLOSE) onEnd(new Error('the parent is done'));
        else onMessage(message);
      });
    },
  };
  serve(port, handlers).then(() => parent.close());
}

function endedEarly(name: string, how: string): Error {
  return new DeviceError(`${name} ended (${how}) before its work was done; try again`);
}
