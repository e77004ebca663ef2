/** @file `acdit tune`, and sampling with what it makes. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { type CliResult, expectBadInput, runInProcess, startCli } from '../support/cli.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

const inFolder = folderOfEachTest();
let model: string;

beforeEach(async () => {
  model = await saveTiny(inFolder('model'), tinyPixels);
});

const QUICK = ['--steps', '3,4', '--samples', '4', '--reference-steps', '12'];
const tune = (...args: string[]): Promise<CliResult> => runInProcess(['tune', model, ...QUICK, ...args]);
const sample = (...args: string[]): Promise<CliResult> =>
  runInProcess(['sample', model, '--no-decode', '--out', inFolder('out'), '--overwrite', ...args]);
const solverFile = (): string => inFolder('model', 'solver.json');

describe('acdit tune', () => {
  it('prints the path of the solver last, and its errors as JSON', async () => {
    const { code, stdout } = await tune('--json', '--default-steps', '3', '--cfg', '1.2');
    expect(code).toBe(0);
    const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    expect(result).toMatchObject({ file: solverFile(), defaultSteps: 3, guidance: { scale: 1.2 } });
    expect(result.solvers.map(({ steps }: { steps: number }) => steps)).toEqual([3, 4]);
    expect(readdirSync(inFolder('model')).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'solver.json',
    ]);
  });

  it('makes what --solver tuned takes', async () => {
    expectBadInput(
      await sample('--solver', 'tuned'),
      /there is no tuned solver for this model; make one with acdit tune/,
    );
    await tune('--quiet', '--guidance-interval', '-4,2');
    expect(JSON.parse(readFileSync(solverFile(), 'utf8')).guidance).toEqual({
      scale: 1.5,
      interval: [-4, 2],
    });
    const { code, stdout } = await sample('--solver', 'tuned', '--json', '--labels', '1');
    expect(code).toBe(0);
    expect(JSON.parse(stdout.split('\n')[0])).toMatchObject({ solver: 'tuned', steps: 4 });
    expectBadInput(await sample('--solver', 'tuned', '--steps', '9'), '--steps must be one of 3, 4');
    expectBadInput(
      await sample('--solver', 'tuned', '--timesteps', 'logsnr'),
      '--timesteps must be left out',
    );
  });

  it('refuses a solver of another model, or a damaged one', async () => {
    await tune('--quiet');
    const text = readFileSync(solverFile(), 'utf8');
    await saveTiny(inFolder('model'), { ...tinyPixels, layers: 2 });
    expectBadInput(await sample('--solver', 'tuned'), /solver\.json: was made for another model/);
    writeFileSync(solverFile(), text.slice(0, 200));
    expectBadInput(await sample('--solver', 'tuned'), /solver\.json: not valid JSON/);
  });

  it('refuses wrong flags in one line', async () => {
    expectBadInput(await tune('--reference-steps', '6'), '--steps must be integers from 2 to 3');
    expectBadInput(await tune('--guidance-interval', '2,-2'), '--guidance-interval must be two log');
    expectBadInput(await tune('--default-steps', '9'), '--default-steps must be one of 3, 4, got 9');
    expectBadInput(await tune('--cfg', '-1'), '--cfg');
    await tune('--quiet');
    expectBadInput(await tune(), /solver\.json exists; give --overwrite/);
  });

  it('resumes after a kill', { timeout: 60_000 }, async () => {
    await tune('--quiet');
    const whole = readFileSync(solverFile(), 'utf8');
    const other = await saveTiny(inFolder('other'), tinyPixels);
    const run = startCli(['tune', other, ...QUICK]);
    const timer = setInterval(() => {
      if (readdirSync(other).includes('solver.json.partial')) run.child.kill('SIGKILL');
    }, 5);
    await run.result;
    clearInterval(timer);
    await runInProcess(['tune', other, ...QUICK, '--quiet']);
    expect(readFileSync(inFolder('other', 'solver.json'), 'utf8')).toBe(whole);
    expect(readdirSync(other).sort()).toEqual(['config.json', 'model.safetensors', 'solver.json']);
  });
});
