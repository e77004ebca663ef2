import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';
import { checksums, tinyRun } from '../../test/support/tiny-run.ts';
import { runCli } from '../cli/run.ts';
import { readMetrics } from '../training/logging/jsonl.ts';

/** A tiny recipe, and the arguments that test its rates. */
function tinyTest() {
  const run = tinyRun({ training: { batch: 2, accumulate: 1 } });
  const recipe = join(run.folder, 'recipe.json');
  const args = (...more: string[]): string[] => ['range-test', recipe, '--threads', '1', ...more];
  const results = join(run.folder, 'run-range-test.json');
  const read = () => JSON.parse(readFileSync(results, 'utf8'));
  return { ...run, recipe, args, results, read };
}

/** Checksums of all files of a folder. */
function contents(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const names = entries.flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name)] : []));
  return [...names, ...checksums('', names)];
}

type Point = { learningRate: number; loss: number };

describe('acdit range-test', () => {
  it('takes the steps of a training with these rates, and suggests one', async () => {
    const { folder, args, train, results, read } = tinyTest();
    const { code, stdout, stderr } = await runInProcess(args('--rates', '1e-5,1', '--steps', '60'));
    expect(code, stderr).toBe(0);
    const { points, suggested, lowest, diverged, recipe } = read();
    expect(stdout).toBe(`${suggested.toExponential(1)}\n`);
    expect(suggested).toBeCloseTo(lowest / 10, 12);
    expect(recipe.training).toMatchObject({ learningRate: 0.001, steps: 4 });
    expect(readFileSync(results.replace('.json', '.svg'), 'utf8')).toContain(
      `suggested ${suggested.toExponential(1)}`,
    );
    if (!diverged) expect(points).toHaveLength(60);
    for (const [i, { learningRate }] of points.entries()) {
      expect(Math.log10(learningRate)).toBeCloseTo(-5 + (5 * i) / 59, 9);
    }
    // A warm-up of 2 steps has the rates 1/2 and 1 of the peak, as a test whose rates double.
    const steps = ['--steps', '2', '--training.warmupSteps', '2', '--learning-rate', '2e-3'];
    expect((await runInProcess(train('warm', ...steps))).code).toBe(0);
    const doubling = [
      '--rates',
      `1e-3,${1e-3 * 2 ** 19}`,
      '--steps',
      '20',
      '--out',
      join(folder, 'two.json'),
    ];
    await runInProcess(args(...doubling));
    const two = JSON.parse(readFileSync(join(folder, 'two.json'), 'utf8')).points as Point[];
    const warm = readMetrics(join(folder, 'warm', 'metrics.jsonl'));
    for (const i of [0, 1])
      expect(two[i]).toMatchObject({ loss: warm[i]!.loss, learningRate: warm[i]!.learningRate });
  });

  it('leaves the run of the recipe alone, and tests the recipe of a run', async () => {
    const { folder, args, train, results, read } = tinyTest();
    await runInProcess(args('--steps', '20'));
    expect(existsSync(join(folder, 'run'))).toBe(false);
    const { points } = read();
    await runInProcess(train('run'));
    const before = contents(join(folder, 'run'));
    expectBadInput(await runInProcess(args('--steps', '20')), `${results} exists; give --overwrite`);
    const own = [
      'range-test',
      '--from',
      join(folder, 'run'),
      '--threads',
      '1',
      '--steps',
      '20',
      '--overwrite',
    ];
    await runInProcess(own);
    expect(read().points).toEqual(points);
    expect(contents(join(folder, 'run'))).toEqual(before);
  });

  it('ends early if the loss diverges', async () => {
    const { args, read } = tinyTest();
    const clipless = ['--training.clip', '1e30'];
    const { code } = await runInProcess(args('--rates', '1e-3,1e6', '--steps', '80', ...clipless));
    const { points, diverged, suggested } = read();
    expect(diverged).toBe(true);
    expect(points.length).toBeLessThan(80);
    expect(code).toBe(suggested === undefined ? 2 : 0);
    for (const { loss } of points) expect(Number.isFinite(loss)).toBe(true);
  });

  it('writes its results but suggests nothing if the loss does not show a rate', async () => {
    const { args, read, results } = tinyTest();
    expectBadInput(
      await runInProcess(args('--rates', '1e-9,1e-8', '--steps', '20', '--quiet')),
      /no learning rate can be suggested: .*; test (higher|other) rates with --rates/,
    );
    expect(read()).toMatchObject({ diverged: false });
    expect(read()).not.toHaveProperty('suggested');
    expect(existsSync(results.replace('.json', '.svg'))).toBe(true);
  });

  it.each([
    [['--rates', '1'], '--rates must be two rates such as 1e-6,1, got 1'],
    [['--rates', '1,0.1'], '--rates must be a rate above 0 and a higher one, got 1 and 0.1'],
    [['--rates', '0,1'], "--rates must be a number above 0, got '0'"],
    [['--steps', '5'], '--steps must be a whole number of at least 20, got 5'],
    [['--out', 'rates.txt'], '--out names a file to write, which must end in .json'],
    [['--model.blocks', '3'], 'do not divide into 3 blocks'],
  ])('refuses %j in one line', async (flags, message) => {
    const { args, folder } = tinyTest();
    const before = readdirSync(folder);
    expectBadInput(await runInProcess(args(...flags)), message);
    expect(readdirSync(folder)).toEqual(before);
  });

  it('writes nothing if it is interrupted', async () => {
    const { args, folder } = tinyTest();
    const before = readdirSync(folder);
    const controller = new AbortController();
    const stdout = { write: (text: string) => text.includes('"step":3,') && controller.abort() };
    const terminal = { stdout, stderr: { write() {} }, signal: controller.signal };
    expect(await runCli(args('--json'), terminal as never)).toBe(130);
    expect(readdirSync(folder)).toEqual(before);
  });
});
