import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const SCRIPT = `
  const { abortOnInterruption } = await import(${JSON.stringify(new URL('./interruption.ts', import.meta.url).href)});
  abortOnInterruption().addEventListener('abort', () => console.log('aborted'));
  setInterval(() => {}, 1000);
  console.log('ready');`;

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A process that never ends by itself. */
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

describe('abortOnInterruption', () => {
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
});
