import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { AcditError } from '../errors.ts';
import { takeLock } from './lock.ts';
import { type ProcessIdentity, stateOf, thisProcess } from './process-identity.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder, 'lock');
});

const refusal = (owner: string): Error => new Error(`in use by ${owner}`);
const tokenOf = (): string => JSON.parse(readFileSync(path, 'utf8')).token;
const minutesAgo = (minutes: number): Date => new Date(Date.now() - minutes * 60_000);

/** Leaves a lock as another process would. */
function writeLock(owner: Partial<ProcessIdentity>, self: ProcessIdentity): void {
  writeFileSync(path, JSON.stringify({ ...self, token: randomUUID(), ...owner }));
}

function startProcess(script: string): ChildProcess {
  const child = spawn(process.execPath, ['-e', script]);
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe('takeLock', () => {
  it('has one owner at a time, also within a process', async () => {
    const first = await takeLock(path);
    await expect(takeLock(path, { refusal })).rejects.toThrow(
      `in use by process ${process.pid} on this machine`,
    );
    const waiting = vi.fn();
    const second = takeLock(path, { onWait: waiting });
    await vi.waitFor(() => expect(waiting).toHaveBeenCalled());
    await first.requireHeld();
    await first.close();
    await (await second).close();
    expect(waiting).toHaveBeenCalledTimes(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('gives a lock to one of many that want it at once, also an abandoned one', async () => {
    for (const abandoned of [false, true]) {
      if (abandoned) writeLock({ started: 'another time' }, await thisProcess());
      const order: number[] = [];
      let holders = 0;
      await Promise.all(
        [1, 2, 3, 4].map(async (number) => {
          const lock = await takeLock(path);
          expect(++holders).toBe(1);
          await lock.requireHeld();
          order.push(number);
          holders--;
          await lock.close();
        }),
      );
      expect(order.sort()).toEqual([1, 2, 3, 4]);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it.skipIf(process.platform === 'win32')('leaves it to a living process, also a suspended one', async () => {
    const child = startProcess('setInterval(() => {}, 1000)');
    const self = await thisProcess();
    const other = await identityOf(child.pid!);
    child.kill('SIGSTOP');
    writeLock(other, self);
    utimesSync(path, minutesAgo(600), minutesAgo(600));
    await expect(takeLock(path, { refusal })).rejects.toThrow(`process ${child.pid}`);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.on('exit', resolve));
    await (await takeLock(path, { refusal })).close();
  });

  it.runIf(process.platform === 'linux')('takes it from a process whose number another one has', async () => {
    const self = await thisProcess();
    writeLock({ started: String(Number(self.started) - 1) }, self);
    await (await takeLock(path, { refusal })).close();
  });

  it.runIf(process.platform === 'linux')(
    'knows a process that has ended and is not yet collected',
    async () => {
      // The program that replaces the shell collects nobody, so the shell's child is ended only after that.
      const child = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      const pid = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
      const self = await thisProcess();
      const stat = (of: number | undefined): string => readFileSync(`/proc/${of}/stat`, 'utf8');
      await vi.waitUntil(() => stat(child.pid).includes('(sleep)'), { timeout: 30_000, interval: 10 });
      process.kill(pid, 'SIGKILL');
      await vi.waitUntil(() => stat(pid).includes(') Z '), { timeout: 30_000, interval: 10 });
      const started = stat(pid)
        .slice(stat(pid).lastIndexOf(')') + 2)
        .split(' ')[19];
      expect(await stateOf({ ...self, pid, started })).toBe('ended');
    },
  );

  it('watches a process of another machine, and takes the lock after a while of silence', async () => {
    const elsewhere = { host: 'else\u001b[31mwhere', space: 'elsewhere', pid: 1 };
    writeLock(elsewhere, await thisProcess());
    const waiting = vi.fn();
    const started = performance.now();
    const lock = await takeLock(path, { refusal, onWait: waiting, silence: 600 });
    expect(performance.now() - started).toBeGreaterThanOrEqual(600);
    expect(waiting).toHaveBeenCalledExactlyOnceWith('process 1 on else?[31mwhere');
    await lock.close();

    writeLock(elsewhere, await thisProcess());
    const beating = setInterval(() => utimesSync(path, new Date(), new Date()), 50);
    onTestFinished(() => clearInterval(beating));
    await expect(takeLock(path, { refusal, silence: 60_000 })).rejects.toThrow('in use by process 1 on else');
    clearInterval(beating);

    utimesSync(path, minutesAgo(11), minutesAgo(11));
    await (await takeLock(path, { refusal })).close();
  });

  it('takes what is not the lock of a process for one of another machine', async () => {
    for (const text of ['', '{"host":', JSON.stringify({ host: 'a', pid: -5 }), 'x'.repeat(10_000)]) {
      writeFileSync(path, text);
      const waiting = vi.fn();
      await (await takeLock(path, { onWait: waiting, silence: 300 })).close();
      expect(waiting).toHaveBeenCalledWith('an unknown process');
    }
  });

  it('reports to a suspended owner that its lock is gone, and leaves the new one alone', async () => {
    const lock = await takeLock(path);
    writeLock({ host: 'elsewhere', space: 'elsewhere', pid: 7, token: 'new' } as object, await thisProcess());
    await expect(lock.requireHeld()).rejects.toThrow(AcditError);
    await expect(lock.requireHeld()).rejects.toThrow('process 7 on elsewhere has taken the lock');
    await lock.close();
    expect(tokenOf()).toBe('new');
  });

  it('gives signs of life for its own lock only', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const lock = await takeLock(path);
    const beat = async (): Promise<number> => {
      utimesSync(path, minutesAgo(5), minutesAgo(5));
      await vi.advanceTimersByTimeAsync(5000);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return statSync(path).mtimeMs;
    };
    expect(await beat()).toBeGreaterThan(minutesAgo(1).getTime());
    writeLock({}, await thisProcess());
    expect(await beat()).toBeLessThan(minutesAgo(4).getTime());
    await lock.close();
    expect(existsSync(path)).toBe(true);
  });

  it('says why a lock cannot be made, and leaves nothing', async () => {
    await expect(takeLock(join(folder, 'none', 'lock'))).rejects.toThrow(
      /cannot write .*its folder does not exist/,
    );
  });
});

/** Asks the system, as `takeLock` does in that process. */
async function identityOf(pid: number): Promise<Partial<ProcessIdentity>> {
  if (process.platform !== 'linux') return { pid, started: '' };
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return { pid, started: text.slice(text.lastIndexOf(')') + 2).split(' ')[19] };
}
