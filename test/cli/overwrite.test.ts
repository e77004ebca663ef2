/** @file What commands replace: nothing without --overwrite, and runs that share a folder never each other's files. */
// @module-tag slow

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { encodeNpz } from '../../src/formats/npz.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { type CliResult, lastLine, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';
import { visibleFiles } from '../support/visible-files.ts';

const inFolder = folderOfEachTest();
let pixels: string;

beforeEach(async () => {
  pixels = await saveTiny(inFolder('pixels'), tinyPixels);
});

const sample = (...args: string[]): Promise<CliResult> =>
  runInProcess(['sample', pixels, '--steps', '1', ...args]);
const into = (...args: string[]): Promise<CliResult> => sample('--out', inFolder('out'), ...args);
const files = (name = 'out'): string[] => visibleFiles(inFolder(name));

function expectRefused({ code, stderr }: CliResult, message: string): void {
  expect(lastLine(stderr)).toContain(message);
  expect(code).toBe(2);
}

describe('acdit sample into a folder that holds samples', () => {
  it('numbers on, with a grid of its own', async () => {
    await into('--labels', 'bag,0');
    const before = files().map((name) => readFileSync(inFolder('out', name)));
    expect(files()).toEqual(['000-bag.png', '001-t-shirt-top.png', 'grid.png']);
    const { stdout } = await into('--labels', '0,sneaker', '--seed', '7');
    expect(lastLine(stdout)).toBe(inFolder('out', 'grid-2.png'));
    const report = JSON.parse((await into('--labels', 'bag', '--json')).stdout);
    expect(report).toMatchObject({
      grid: inFolder('out', 'grid-3.png'),
      samples: [{ file: inFolder('out', '004-bag.png') }],
    });
    expect(files()).toEqual([
      ...['000-bag.png', '001-t-shirt-top.png', '002-t-shirt-top.png', '003-sneaker.png', '004-bag.png'],
      ...['grid-2.png', 'grid-3.png', 'grid.png'],
    ]);
    const again = ['000-bag.png', '001-t-shirt-top.png', 'grid.png'];
    expect(again.map((name) => readFileSync(inFolder('out', name)))).toEqual(before);
  });

  it('numbers on after the largest number, whatever has it', async () => {
    mkdirSync(inFolder('out', '0041-frames-of-something'), { recursive: true });
    for (const name of ['007-photo.jpeg', '99999999999999999999-long.png', '1-short.png', 'grid-9.png']) {
      writeFileSync(inFolder('out', name), '');
    }
    await into('--labels', 'bag');
    expect(files()).toEqual(expect.arrayContaining(['042-bag.png', 'grid-10.png']));
    expect(statSync(inFolder('out', 'grid-9.png')).size).toBe(0);
  });

  it('writes latents of its own', async () => {
    for (const expected of ['latents.npy', 'latents-2.npy']) {
      const { stdout } = await into('--labels', 'bag', '--no-decode');
      expect(lastLine(stdout)).toBe(inFolder('out', expected));
    }
    expect(files()).toEqual(['latents-2.npy', 'latents.npy']);
  });

  it('replaces earlier runs, and nothing else, with --overwrite', async () => {
    const video = { ...tinyPixels, frames: 2, blocks: 2, blockSize: 16, squareBlocks: false };
    const clips = await saveTiny(inFolder('clips'), { ...video, positionSplit: [2, 1, 1] });
    await runInProcess([
      ...['sample', clips, '--labels', '0,1', '--steps', '1', '--format', 'png', '--out', inFolder('out')],
    ]);
    await into('--labels', '0,1,2');
    await into('--labels', '0', '--no-decode');
    writeFileSync(inFolder('out', 'notes.txt'), 'mine');
    writeFileSync(inFolder('out', '000-t-shirt-top', 'notes.txt'), 'mine');
    expect(await into('--labels', 'bag', '--overwrite')).toMatchObject({ code: 0 });
    expect(files()).toEqual(['000-bag.png', '000-t-shirt-top', 'grid.png', 'notes.txt']);
    expect(readdirSync(inFolder('out', '000-t-shirt-top'))).toEqual(['notes.txt']);
  });

  it('leaves files of others alone with --overwrite, whatever they are called', async () => {
    mkdirSync(inFolder('out', '010-bag'), { recursive: true });
    const mine = ['005-mine.png', '2024-paris.png', 'grid-7.png', 'latents-3.npy', 'holiday.png'];
    for (const name of mine) writeFileSync(inFolder('out', name), 'mine');
    expect(await into('--labels', 'bag', '--overwrite')).toMatchObject({ code: 0 });
    expect(await into('--labels', 'sneaker', '--overwrite')).toMatchObject({ code: 0 });
    expect(files()).toEqual([...mine, '000-sneaker.png', '010-bag', 'grid.png'].sort());
    for (const name of mine) expect(readFileSync(inFolder('out', name), 'utf8')).toBe('mine');
  });

  it('keeps them if the run is refused', async () => {
    await into('--labels', 'bag');
    expectRefused(await into('--labels', 'hat', '--overwrite'), "unknown class 'hat'");
    expect(files()).toEqual(['000-bag.png', 'grid.png']);
  });

  it('shares it with runs at the same time, each with its own numbers', async () => {
    const classes = ['bag', 'sneaker', '0'];
    const runs = await Promise.all(
      classes.map((label) =>
        spawnCli([
          ...['sample', pixels, '--labels', label, '--count', '5', '--batch', '1', '--steps', '2'],
          ...['--out', inFolder('out'), '--json'],
        ]),
      ),
    );
    const reports = runs.map(({ stdout }) => JSON.parse(stdout));
    const written = reports.flatMap(({ samples }) => samples.map(({ file }: { file: string }) => file));
    expect(new Set(written).size).toBe(15);
    expect(new Set(reports.map(({ grid }) => grid)).size).toBe(3);
    const expected = [...written, ...reports.map(({ grid }) => grid)].sort();
    expect(files().map((name) => inFolder('out', name))).toEqual(expected);
    const numbers = files().flatMap((name) => /^\d+/.exec(name) ?? []);
    expect(numbers.map(Number)).toEqual(Array.from({ length: 15 }, (_, i) => i));
  });

  it('does not overwrite what another process is sampling, and forgets one that was killed', async () => {
    const running = startCli([
      ...['sample', pixels, '--labels', '0', '--count', '1000', '--batch', '1', '--steps', '50'],
      ...['--out', inFolder('out')],
    ]);
    const isReserved = (): boolean => existsSync(inFolder('out', '.acdit-samples.json'));
    await expect.poll(isReserved, { timeout: 60_000 }).toBe(true);
    expectRefused(await into('--labels', 'bag', '--overwrite'), `process ${running.child.pid} on `);
    await into('--labels', 'bag');
    expect(files()).toEqual(expect.arrayContaining(['1000-bag.png', 'grid-2.png']));
    running.child.kill('SIGKILL');
    await running.result;
    expect(await into('--labels', 'bag', '--overwrite')).toMatchObject({ code: 0 });
    expect(files()).toEqual(['000-bag.png', 'grid.png']);
  }, 120_000);
});

describe('files that exist', () => {
  it('are refused as latents, and replaced with --overwrite', async () => {
    const latents = ['--no-decode', '--latents', inFolder('a.npy')];
    writeFileSync(inFolder('a.npy'), 'mine');
    expectRefused(await into('--labels', 'bag', ...latents), 'a.npy exists; give --overwrite to replace it');
    expect(readFileSync(inFolder('a.npy'), 'utf8')).toBe('mine');
    expect(await into('--labels', 'bag', ...latents, '--overwrite')).toMatchObject({ code: 0 });
    expect(statSync(inFolder('a.npy')).size).toBeGreaterThan(256); // 4 blocks of 4 tokens of 4 float32
  });

  it('are refused as samples to evaluate, unless they are just those', async () => {
    const npz = (...args: string[]) => sample('--npz', inFolder('a.npz'), '--count', '3', ...args);
    writeFileSync(inFolder('a.npz'), await encodeNpz({ a: float32([1], [1]) }));
    expectRefused(await npz(), 'does not record what it was made with; give --overwrite to replace it');
    expect(await npz('--overwrite')).toMatchObject({ code: 0 });
    const made = readFileSync(inFolder('a.npz'));
    expect((await npz()).stderr).toContain('is complete');
    expectRefused(await npz('--seed', '7'), 'seed 42, not 7; give --overwrite to replace it');
    expect(readFileSync(inFolder('a.npz'))).toEqual(made);
    expect(await npz('--seed', '7', '--overwrite')).toMatchObject({ code: 0 });
    expect(readFileSync(inFolder('a.npz'))).not.toEqual(made);
    expect(readdirSync(inFolder()).sort()).toEqual(['a.npz', 'pixels']);
  });

  it('are not replaced by an unfinished npz of other settings, unless with --overwrite', async () => {
    const controller = new AbortController();
    const args = (seed: string) => [
      ...['sample', pixels, '--npz', inFolder('a.npz'), '--count', '40', '--batch', '1', '--steps', '9'],
      ...['--seed', seed],
    ];
    const running = runInProcess(args('1'), controller.signal);
    await expect.poll(() => existsSync(inFolder('a.npz.partial'))).toBe(true);
    controller.abort(new Error('interrupted'));
    await running;
    expect(existsSync(inFolder('a.npz'))).toBe(false);
    expectRefused(await runInProcess(args('2')), 'give the same to resume, or --overwrite to start again');
    expect(await runInProcess([...args('2'), '--overwrite'])).toMatchObject({ code: 0 });
    expect(readdirSync(inFolder()).sort()).toEqual(['a.npz', 'pixels']);
  });

  it('are refused as drawings of a plan', async () => {
    const info = (...args: string[]) => runInProcess(['info', pixels, ...args]);
    for (const name of ['svg', 'png']) {
      const path = inFolder(`plan.${name}`);
      writeFileSync(path, 'mine');
      expectRefused(await info(`--${name}`, path), `plan.${name} exists; give --overwrite`);
      expect(readFileSync(path, 'utf8')).toBe('mine');
      expect(await info(`--${name}`, path, '--overwrite')).toMatchObject({ code: 0 });
      expect(readFileSync(path, 'utf8')).not.toBe('mine');
    }
    mkdirSync(inFolder('folder.svg'));
    expectRefused(await info('--svg', inFolder('folder.svg'), '--overwrite'), 'exists and is a folder');
  });

  it('are refused as reports and features of an evaluation, and never over its sets', async () => {
    const features = Generator.seeded(1).randn(20 * 3);
    const set = await encodeNpz({ features: float32([20, 3], features) });
    for (const name of ['a.npz', 'b.npz']) writeFileSync(inFolder(name), set);
    const evaluate = (...args: string[]) =>
      runInProcess(['evaluate', inFolder('a.npz'), inFolder('b.npz'), '--json', ...args]);
    for (const [flag, name] of [
      ['--save-features', 'kept.npz'],
      ['--save-reference', 'kept.npz'],
      ['--report', 'report.html'],
    ] as const) {
      writeFileSync(inFolder(name), 'mine');
      expectRefused(await evaluate(flag, inFolder(name)), `${name} exists; give --overwrite to replace it`);
      expect(readFileSync(inFolder(name), 'utf8')).toBe('mine');
      expect(await evaluate(flag, inFolder(name), '--overwrite')).toMatchObject({ code: 0 });
      expect(readFileSync(inFolder(name), 'utf8')).not.toBe('mine');
    }
    expectRefused(await evaluate('--save-features', inFolder('b.npz'), '--overwrite'), 'is given twice');
    expect(readFileSync(inFolder('b.npz')).equals(set)).toBe(true);
  });
});
