// @module-tag slow

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { TestCalls } from '../../test/support/remote-calls.ts';
import { ApiError, DeviceError } from '../errors.ts';
import { programBeside, startChild, startWorkerThread } from './node.ts';
import type { OwnerPort } from './protocol.ts';
import { connect, type Remote } from './remote.ts';

// Programs of other processes run from their source too.
const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
process.execArgv.push('--import', LOADER);

const SUPPORT = new URL('../../test/support/', import.meta.url);
const startTestChild = () => startChild(new URL('remote-child.ts', SUPPORT), 'the child', 'pipe');
const startTestThread = () => startWorkerThread(new URL('remote-thread.mjs', SUPPORT), 'the thread');

let remotes: Remote<TestCalls>[] = [];
afterEach(async () => {
  await Promise.all(remotes.map((remote) => remote.dispose()));
  remotes = [];
});

function open(port: OwnerPort): Remote<TestCalls> {
  const remote = connect<TestCalls>(port);
  remotes.push(remote);
  return remote;
}

async function take(remote: Remote<TestCalls>, events: number): Promise<number[]> {
  const taken: number[] = [];
  for await (const event of remote.stream('count', undefined)) if (taken.push(event) === events) break;
  return taken;
}

/** Whether a process is running. */
function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.each([
  ['a child process', startTestChild],
  ['a worker thread', startTestThread],
])('%s', (_, start) => {
  it('answers calls at once, keeps the classes of errors, and stops when nobody reads', async () => {
    const remote = open(start());
    const size = 1_000_000;
    const [counts, first, others, second] = await Promise.all([
      take(remote, 200),
      remote.call('fill', { size, value: 1 }),
      take(remote, 100),
      remote.call('fill', { size, value: 2 }),
    ]);
    expect([counts, others]).toEqual([Array.from({ length: 200 }, (_, i) => i), counts.slice(0, 100)]);
    expect([first, second].map((data) => [data.length, data[0], data.at(-1)])).toEqual([
      [size, 1, 1],
      [size, 2, 2],
    ]);
    const refused = remote.call('refuse', undefined);
    await expect(refused).rejects.toBeInstanceOf(ApiError);
    await expect(refused).rejects.toMatchObject({ status: 429, code: 'too_many', retryAfter: 5 });
    await vi.waitFor(async () => expect(await remote.call('stopped', undefined)).toBe(2));
  });

  it('stops a call that is aborted while nobody reads', async () => {
    const remote = open(start());
    const controller = new AbortController();
    const counts = remote.stream('count', undefined, { signal: controller.signal });
    await counts.next();
    controller.abort(new Error('enough'));
    await vi.waitFor(async () => expect(await remote.call('stopped', undefined)).toBe(1));
    await expect(counts.next()).rejects.toThrow('enough');
  });

  it('fails its calls when it crashes', async () => {
    const remote = open(start());
    const calls = [remote.call('crash', undefined), take(remote, 1e9)];
    for (const call of calls) await expect(call).rejects.toThrow(DeviceError);
    await expect(remote.call('stopped', undefined)).rejects.toThrow(/the (child ended|thread failed)/);
    expect(remote.alive).toBe(false);
  });

  it('can be disposed of at any moment, often, and when it has ended', async () => {
    const early = open(start());
    await Promise.all([early.dispose(), early.dispose()]);
    const busy = open(start());
    const counting = expect(take(busy, 1e9)).rejects.toThrow('has ended');
    await busy.call('stopped', undefined);
    await busy.dispose();
    await counting;
    const blocked = open(start());
    const blocking = expect(blocked.call('block', undefined)).rejects.toThrow('has ended');
    await take(open(start()), 1); // long enough for the other to block
    await blocked.dispose();
    await blocking;
    const crashed = open(start());
    await expect(crashed.call('crash', undefined)).rejects.toThrow(DeviceError);
    await crashed.dispose();
  });

  it('that does not exist fails the first call', async () => {
    const missing = new URL('no-such-program.ts', SUPPORT);
    const port =
      start === startTestChild ? startChild(missing, 'it', 'pipe') : startWorkerThread(missing, 'it');
    await expect(open(port).call('stopped', undefined)).rejects.toThrow(/^it (ended|failed)/);
  });
});

describe('a child process', () => {
  it('fails its calls when it is killed', async () => {
    const child = startTestChild();
    const remote = open(child);
    const counting = (async () => {
      for await (const count of remote.stream('count', undefined)) {
        if (count === 100) process.kill(child.pid!, 'SIGKILL');
      }
    })();
    await expect(counting).rejects.toThrow('the child ended (SIGKILL)');
  });

  it('ends with a parent that is killed', async () => {
    const program = fileURLToPath(new URL('remote-parent.ts', SUPPORT));
    const parent = spawn(process.execPath, ['--import', LOADER, program]);
    const [printed] = await once(parent.stdout, 'data');
    const pid = Number(String(printed));
    expect(isRunning(pid)).toBe(true);
    parent.kill('SIGKILL');
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), { timeout: 5000 });
  });
});

describe('a worker thread', () => {
  it('moves what is transferred', async () => {
    const remote = open(startTestThread());
    const data = await remote.call('fill', { size: 10, value: 3 });
    expect(data).toEqual(new Float32Array(10).fill(3));
    expect(await remote.call('left', undefined)).toBe(0);
  });

  it('starts from a program that Node gets as text', async () => {
    const program = `
      import { connect } from ${JSON.stringify(new URL('./remote.ts', import.meta.url).href)};
      import { startWorkerThread } from ${JSON.stringify(new URL('./node.ts', import.meta.url).href)};
      const remote = connect(startWorkerThread(new URL(${JSON.stringify(new URL('remote-thread.mjs', SUPPORT).href)}), 'it'));
      console.log((await remote.call('fill', { size: 2, value: 3 })).join());
      await remote.dispose();`;
    const args = ['--import', LOADER, '--max-old-space-size=200', '--input-type=module', '--eval', program];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toBe('3,3\n');
  });
});

describe('the program next to a module', () => {
  it('is source or compiled as the module is', () => {
    expect(programBeside('file:///a/b.ts', 'c').href).toBe('file:///a/c.ts');
    expect(programBeside('file:///a/b.js', 'c').href).toBe('file:///a/c.js');
  });
});
