/**
 * @file A sampler in a process of its own, so that the server answers while it samples: ONNX Runtime's `run` blocks its
 * thread. It is a process rather than a worker thread, because a thread that ends after it used ONNX Runtime can take
 * the whole process with it.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { AcditError, ArgumentError, DeviceError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { PassInfo } from '../sampling/batching.ts';
import type { SampleEvent, SampleRequest } from '../sampling/sampler.ts';
import { type Channel, createChannel } from './channel.ts';
import {
  type FromSampling,
  READ_AT_ONCE,
  type SamplingSettings,
  type ToSampling,
} from './sampling-messages.ts';

/** Samples on request, in this process or another. */
export interface RequestSampler {
  /** Sample; the work stops when its events are no longer read. Any number of calls may run at once. */
  sample(request: SampleRequest): AsyncGenerator<SampleEvent, void, void>;
  /** Give back its memory. */
  dispose(): Promise<void>;
}

/** A sampler in a process of its own. */
export interface ProcessSampler extends RequestSampler {
  readonly config: AcditConfig;
  /** Whether the process is running. */
  readonly alive: boolean;
  readonly pid: number | undefined;
}

/** The program of the sampling process, as source or compiled like this file. */
const PROGRAM = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? './sampling-process.ts' : './sampling-process.js',
    import.meta.url,
  ),
);

/**
 * Start a process and load the model there. Use it instead of a worker thread: ONNX Runtime aborts the whole process if a
 * thread ends during a step, while a process can be stopped at any moment. Requests that run at the same time share
 * passes.
 * @param onPass gets each pass after it was made
 * @throws {AcditError} if the model cannot be loaded
 *
 * @example
 * ```ts
 * const sampler = await openProcessSampler({ model: 'models/fashion-mnist', threads: 2 });
 * for await (const event of sampler.sample({ labels: [7] })) console.log(event.kind);
 * await sampler.dispose();
 * ```
 */
export async function openProcessSampler(
  settings: SamplingSettings,
  onPass?: (pass: PassInfo) => void,
): Promise<ProcessSampler> {
  const child = fork(PROGRAM, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const print = printLater(child.stderr);
  const requests = new Map<number, Channel<SampleEvent>>();
  const send = (message: ToSampling): void => void child.send(message, () => {}); // its exit tells of failures
  let latest = 0;
  let alive = true;
  const ended = (reason: string): void => {
    alive = false;
    for (const request of requests.values()) {
      request.fail(new DeviceError(`the sampling process ended (${reason}); try again`));
    }
  };
  child.once('error', (error) => ended(error.message));
  child.once('exit', (code, killer) => ended(killer ?? `exit code ${code}`));
  child.on('message', (message: FromSampling) => {
    if (message.kind === 'pass') onPass?.(message.pass);
    else if (message.kind === 'event') requests.get(message.id)?.push(message.event);
    else if (message.kind === 'end') requests.get(message.id)?.end();
    else if (message.kind === 'failure' && message.id !== undefined) {
      requests.get(message.id)?.fail(errorOf(message));
    }
  });
  const ready = firstAnswer(child, print);
  send({ kind: 'open', settings });
  const config = await ready;
  return {
    config,
    pid: child.pid,
    get alive() {
      return alive;
    },
    async *sample({ signal, ...request }) {
      signal?.throwIfAborted();
      if (!alive) throw new DeviceError('the sampling process has ended');
      const id = ++latest;
      const events = createChannel<SampleEvent>();
      const stop = (): void => {
        events.fail(signal?.reason);
        send({ kind: 'stop', id });
      };
      signal?.addEventListener('abort', stop, { once: true });
      requests.set(id, events);
      send({ kind: 'sample', id, request });
      try {
        let read = 0;
        for await (const event of events) {
          yield event;
          if (++read % READ_AT_ONCE === 0) send({ kind: 'read', id, count: READ_AT_ONCE });
        }
      } finally {
        signal?.removeEventListener('abort', stop);
        requests.delete(id);
        send({ kind: 'stop', id }); // of one that has ended, this says nothing
      }
    },
    async dispose() {
      if (!alive) return;
      const exit = once(child, 'exit');
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}

/**
 * Hold back what a process prints until the function that this gives is called. A graphics card's libraries print pages
 * where they find none, of which the process itself tells in a line.
 */
function printLater(from: Readable | null): () => void {
  const held: Buffer[] = [];
  let print = (text: Buffer): void => void held.push(text);
  from?.on('data', (text: Buffer) => print(text));
  return () => {
    print = (text) => void process.stderr.write(text);
    held.splice(0).forEach(print);
  };
}

/**
 * The configuration of the model once it is loaded.
 * @param print called unless the process tells what is wrong
 */
function firstAnswer(child: ChildProcess, print: () => void): Promise<AcditConfig> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new DeviceError(`the sampling process cannot be started: ${error.message}`)),
    );
    const ended = (code: number | null, killer: string | null): void => {
      print();
      reject(new DeviceError(`the sampling process ended while loading (${killer ?? `exit code ${code}`})`));
    };
    child.once('exit', ended);
    child.once('message', (message: FromSampling) => {
      child.off('exit', ended);
      if (message.kind !== 'failure' || !message.expected) print();
      if (message.kind === 'ready') resolve(message.config);
      else {
        child.disconnect(); // it ends then; signals it leaves to us
        reject(message.kind === 'failure' ? errorOf(message) : new Error('unexpected answer'));
      }
    });
  });
}

function errorOf({ message, expected, invalid }: FromSampling & { kind: 'failure' }): Error {
  if (invalid) return new ArgumentError(message);
  return expected ? new AcditError(message) : new Error(message);
}
