/** @file The transport between a page and a Web Worker. */

import { DeviceError } from '../errors.ts';
import type { OwnerPort, Port } from './protocol.ts';

/** What a port needs of a Web Worker, and of the global scope inside one. */
export interface MessageTarget {
  /** Sends a message; buffers in `transfer` are moved, not copied. */
  postMessage(message: unknown, options: { transfer: ArrayBuffer[] }): void;
  /** Calls the listener for each event of a type. */
  addEventListener(type: string, listener: (event: Event) => void): void;
}

/**
 * Returns the page's end.
 * @param name what to call the worker in messages, such as "the decoder"
 */
export function webWorkerPort(worker: MessageTarget & { terminate(): void }, name: string): OwnerPort {
  return {
    name,
    send: (message, transfer = []) => worker.postMessage(message, { transfer: [...transfer] }),
    listen(onMessage, onEnd) {
      worker.addEventListener('message', (event) => onMessage((event as MessageEvent).data));
      worker.addEventListener('error', (event) => {
        worker.terminate();
        const { message } = event as { message?: string };
        onEnd(new DeviceError(`${name} failed: ${message || 'it cannot be loaded'}`));
      });
    },
    close: async () => worker.terminate(),
  };
}

/**
 * Returns the end inside a Web Worker, for `serve`. A page that closes ends its workers.
 * @param scope `globalThis` of the worker
 */
export function workerScopePort(scope: MessageTarget): Port {
  return {
    send: (message, transfer = []) => scope.postMessage(message, { transfer: [...transfer] }),
    listen: (onMessage) =>
      scope.addEventListener('message', (event) => onMessage((event as MessageEvent).data)),
  };
}
