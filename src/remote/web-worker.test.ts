import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { Call } from './protocol.ts';
import { connect } from './remote.ts';
import { serve } from './serve.ts';
import { type MessageTarget, webWorkerPort, workerScopePort } from './web-worker.ts';

interface Calls {
  double: Call<number, number>;
}

let ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports) port.close();
});

/** A worker as the page sees it, which can report an error, and its scope. */
function openWorker() {
  const { port1, port2 } = new MessageChannel();
  ports = [port1, port2];
  const errors = new EventTarget();
  const worker = {
    terminated: false,
    postMessage: (port1 as unknown as MessageTarget).postMessage.bind(port1),
    addEventListener(type: string, listener: (event: Event) => void) {
      (type === 'error' ? errors : (port1 as EventTarget)).addEventListener(type, listener);
    },
    terminate() {
      worker.terminated = true;
    },
  };
  return { worker, errors, scope: port2 as unknown as MessageTarget };
}

describe('a Web Worker', () => {
  it('answers calls', async () => {
    const { worker, scope } = openWorker();
    void serve<Calls>(workerScopePort(scope), { double: async (value) => 2 * value });
    const remote = connect<Calls>(webWorkerPort(worker, 'the worker'));
    expect(await remote.call('double', 4)).toBe(8);
    await remote.dispose();
    expect(worker.terminated).toBe(true);
    await expect(remote.call('double', 4)).rejects.toThrow('the worker has ended');
  });

  it.each([
    [{}, 'the worker failed: it cannot be loaded'],
    [{ message: 'out of memory' }, 'the worker failed: out of memory'],
  ])('that reports the error %j fails its calls', async (error, message) => {
    const { worker, errors } = openWorker();
    const remote = connect<Calls>(webWorkerPort(worker, 'the worker'));
    const call = expect(remote.call('double', 4)).rejects.toThrow(message);
    errors.dispatchEvent(Object.assign(new Event('error'), error));
    await call;
    expect([worker.terminated, remote.alive]).toEqual([true, false]);
  });
});
