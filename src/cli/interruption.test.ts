import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { AcditError } from '../errors.ts';
import { type InterruptibleProcess, openTerminal } from './interruption.ts';

const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const SCRIPT = `
  const { openTerminal } = await import(${JSON.stringify(new URL('./interruption.ts', import.meta.url).href)});
  const { signal, stdout } = openTerminal(process);
  signal.addEventListener('abort', () => stdout.write('aborted'));
  setInterval(() => {}, 1000);
  stdout.write('ready');`;

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A process that never ends on its own. */
function startStubborn() {
  const args = ['--import', LOADER, '--input-type=module', '--eval', SCRIPT];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const printed = async (text: string): Promise<void> => {
    while (!output.includes(text)) await wait(10);
  };
  const ended = new Promise<number | null>((resolve) => {
    child.on('exit', resolve);
  });
  return { child, printed, ended };
}

class FakeStream extends EventEmitter {
  text = '';
  /** Thrown by the next write. */
  problem: Error | undefined;
  write(text: string): void {
    if (this.problem) throw this.problem;
    this.text += text;
  }
}

function fakeTerminal() {
  const [stdout, stderr] = [new FakeStream(), new FakeStream()];
  const exits: number[] = [];
  const owner = Object.assign(new EventEmitter(), {
    stdout,
    stderr,
    exit: (code: number) => exits.push(code),
  });
  const terminal = openTerminal(owner as unknown as InterruptibleProcess);
  return { owner, stdout, stderr, exits, terminal };
}

const problem = (code: string): Error => Object.assign(new Error(`${code}: no good`), { code });

describe('openTerminal', () => {
  it('aborts at the first signal and exits with 130 at the second', async () => {
    const { child, printed, ended } = startStubborn();
    await printed('ready');
    child.kill('SIGINT');
    await printed('aborted');
    // Close to the first, as npm passes on what the terminal has sent: the same one.
    child.kill('SIGINT');
    await wait(400);
    expect(child.exitCode).toBeNull();
    child.kill('SIGINT');
    expect(await ended).toBe(130);
  });

  it('takes a closed terminal, however often it is reported, for one request to end', async () => {
    const { child, printed, ended } = startStubborn();
    await printed('ready');
    child.kill('SIGHUP');
    await printed('aborted');
    await wait(400);
    child.kill('SIGHUP');
    await wait(100);
    expect(child.exitCode).toBeNull();
    child.kill('SIGTERM');
    expect(await ended).toBe(130);
  });

  it('aborts when the disk of the output is full, says so, and drops what follows', () => {
    const { stdout, stderr, terminal } = fakeTerminal();
    terminal.stdout.write('one\n');
    stdout.problem = problem('ENOSPC');
    terminal.stdout.write('two\n');
    stdout.problem = undefined;
    terminal.stdout.write('three\n');
    expect(stdout.text).toBe('one\n');
    expect(terminal.signal.reason).toBeInstanceOf(AcditError);
    expect(terminal.signal.reason.message).toBe(
      'cannot write standard output: the disk is full; free some space',
    );
    terminal.stderr.write('a message\n');
    expect(stderr.text).toBe('a message\n');
  });

  it.each(['EPIPE', 'EIO'])('ends as interrupted when the reader has left (%s)', (code) => {
    const { stdout, stderr, terminal } = fakeTerminal();
    stderr.emit('error', problem(code));
    expect(terminal.signal.aborted).toBe(true);
    expect(terminal.signal.reason).not.toBeInstanceOf(AcditError);
    terminal.stderr.write('lost');
    expect([stdout.text, stderr.text]).toEqual(['', '']);
  });

  it('keeps the first reason', () => {
    const { owner, stderr, exits, terminal } = fakeTerminal();
    owner.emit('SIGHUP', 'SIGHUP');
    const { reason } = terminal.signal;
    stderr.emit('error', problem('EIO'));
    expect(terminal.signal.reason).toBe(reason);
    expect(exits).toEqual([]);
  });
});
