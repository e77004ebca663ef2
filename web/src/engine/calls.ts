/** @file The worker as the page calls it: started at the first call, so that the first paint owes nothing to it. */

import type { Calls, FromWorker, ToWorker } from './protocol.ts';

export type CallWorker = <K extends keyof Calls>(
  kind: K,
  given: Calls[K]['given'],
  signal?: AbortSignal,
) => AsyncGenerator<Calls[K]['event'], void, void>;

export function createCalls(): CallWorker {
  let worker: Worker | undefined;
  let next = 0;
  const listeners = new Map<number, (message: FromWorker) => void>();

  function start(): Worker {
    if (worker) return worker;
    worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'acdit' });
    worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) =>
      listeners.get(data.id)?.(data),
    );
    worker.addEventListener('error', ({ message }) => {
      for (const [id, listener] of listeners) {
        listener({ id, kind: 'error', name: 'Error', message: message || 'the worker cannot be loaded' });
      }
    });
    return worker;
  }

  return async function* call(kind, given, signal) {
    signal?.throwIfAborted();
    const id = next++;
    const waiting: FromWorker[] = [];
    let wake = (): void => {};
    const send = (message: ToWorker): void => start().postMessage(message);
    const stop = (): void => send({ id, kind: 'stop' });
    listeners.set(id, (message) => {
      waiting.push(message);
      wake();
    });
    signal?.addEventListener('abort', stop);
    let ended = false;
    try {
      send({ id, kind, given } as ToWorker);
      while (true) {
        const message = waiting.shift();
        if (!message) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        if (message.kind === 'event') yield message.event as never;
        else {
          ended = true;
          if (message.kind === 'end') return;
          signal?.throwIfAborted();
          throw Object.assign(new Error(message.message), { name: message.name });
        }
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      listeners.delete(id);
      if (!ended) stop();
    }
  };
}
