/** @file `acdit sample --npz`: samples to evaluate, in one file. */
// @module-tag slow

import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import { takeLock } from '../../src/io/lock.ts';
import { readImage, withChannels } from '../../src/media/image.ts';
import { readFrames } from '../../src/media/video-reader.ts';
import { validateConfig } from '../../src/models/acdit/config.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type CliResult, expectBadInput, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { pythonWithNumpy, runNumpy } from '../support/python-numpy.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyPixels, tinyVideo } from '../support/tiny-model.ts';
import { visibleFiles } from '../support/visible-files.ts';

const inFolder = folderOfEachTest();
let pixels: string;

beforeEach(async () => {
  pixels = await saveTiny(inFolder('pixels'), tinyPixels);
});

const sample = (...args: string[]): Promise<CliResult> => runInProcess(['sample', ...args]);
const toNpz = (name: string, ...args: string[]): Promise<CliResult> =>
  sample(pixels, '--npz', inFolder(name), '--steps', '2', ...args);

async function readNpz(name: string): Promise<{ images: Tensor; labels: number[] }> {
  const npz = await openNpz(await openFile(inFolder(name)));
  expect(npz.names).toEqual(['arr_0', 'arr_1']);
  const [images, labels] = [await npz.read('arr_0'), await npz.read('arr_1')];
  await npz.close();
  expect([images.dtype, labels.dtype]).toEqual(['uint8', 'int64']);
  return { images, labels: Array.from(labels.data, Number) };
}

describe('acdit sample --npz', () => {
  it('writes what NumPy reads: the pixels of the pictures, in RGB, and labels drawn at random', async () => {
    const { code, stdout } = await toNpz('out.npz', '--count', '40');
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${inFolder('out.npz')}\n` });
    expect(readdirSync(inFolder()).sort()).toEqual(['out.npz', 'pixels']);
    const { images, labels } = await readNpz('out.npz');
    expect(images.shape).toEqual([40, 8, 8, 3]);
    for (const label of [0, 1, 2])
      expect(labels.filter((other) => other === label).length).toBeGreaterThan(5);
    expect(labels).not.toEqual(labels.toSorted());

    const few = labels.slice(0, 4);
    await sample(pixels, '--labels', few.join(), '--steps', '2', '--out', inFolder('png'));
    const files = visibleFiles(inFolder('png')).filter((name) => name !== 'grid.png');
    for (const [i, file] of files.sort().entries()) {
      const { data } = withChannels(await readImage(inFolder('png', file)), 3);
      expect([...images.data.slice(i * data.length, (i + 1) * data.length)]).toEqual([...data]);
    }
  });

  it('draws the same labels first, however many are asked for; others by another seed', async () => {
    const labelsOf = async (...args: string[]): Promise<number[]> => {
      rmSync(inFolder('out.npz'), { force: true });
      await toNpz('out.npz', ...args);
      return (await readNpz('out.npz')).labels;
    };
    const labels = await labelsOf('--count', '30');
    expect(await labelsOf('--count', '12')).toEqual(labels.slice(0, 12));
    expect(await labelsOf('--count', '30', '--seed', '43')).not.toEqual(labels);
    expect(new Set(await labelsOf('--count', '30', '--labels', 'bag,0'))).toEqual(new Set([0, 2]));
  });

  it('takes --per-class of each class in turn', async () => {
    const { code, stdout } = await toNpz('out.npz', '--per-class', '3', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      file: inFolder('out.npz'),
      shape: [9, 8, 8, 3],
      order: 'balanced',
      seed: 42,
      made: 9,
      done: true,
    });
    expect((await readNpz('out.npz')).labels).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
  });

  it.skipIf(pythonWithNumpy === undefined)('is read by NumPy, checksums and all', async () => {
    await toNpz('out.npz', '--count', '5');
    const { images, labels } = await readNpz('out.npz');
    expect(runNumpy(SCRIPT, inFolder('out.npz'))).toEqual({
      names: ['arr_0', 'arr_1'],
      damaged: null,
      shape: [5, 8, 8, 3],
      types: ['uint8', 'int64'],
      first: [...images.data],
      labels,
    });
  });

  it('makes the same file in any batches, and again after being killed', { timeout: 300_000 }, async () => {
    const args = ['--count', '10', '--steps', '50'];
    await toNpz('one.npz', ...args, '--batch', '1');
    await toNpz('seven.npz', ...args, '--batch', '7');
    const expected = readFileSync(inFolder('one.npz'));
    expect(readFileSync(inFolder('seven.npz')).equals(expected)).toBe(true);

    const journal = inFolder('killed.npz.partial.json');
    const rows = (): number =>
      existsSync(journal) ? JSON.parse(readFileSync(journal, 'utf8')).marks.at(-1).rows : 0;
    const partial = inFolder('killed.npz.partial');
    const bytes = (): number => (existsSync(partial) ? statSync(partial).size : 0);
    let kills = 0;
    // Once as soon as there is a file, then where rows are safe, which a quick machine may not wait for.
    for (const [batch, progress] of [
      ['1', bytes],
      ['2', rows],
      ['3', rows],
      ['5', rows],
    ] as const) {
      const before = progress();
      const { child, result } = startCli([
        ...['sample', pixels, '--npz', inFolder('killed.npz'), ...args.slice(0, 2), '--batch', batch],
        ...args.slice(2),
      ]);
      const ended = result.then(() => true);
      while (progress() === before && !(await Promise.race([ended, pause(20)])));
      child.kill('SIGKILL');
      await result;
      if (existsSync(inFolder('killed.npz'))) break;
      kills++;
    }
    expect(kills).toBeGreaterThan(0);
    expect(await toNpz('killed.npz', ...args, '--batch', '4')).toMatchObject({ code: 0 });
    expect(readFileSync(inFolder('killed.npz')).equals(expected)).toBe(true);
    expect(readdirSync(inFolder()).sort()).toEqual(['killed.npz', 'one.npz', 'pixels', 'seven.npz']);
  });

  it('stops by Ctrl-C, says how to go on, and does', async () => {
    const args = ['--count', '9', '--batch', '2'];
    const controller = new AbortController();
    const common = ['sample', pixels, '--npz', inFolder('out.npz'), '--steps', '2'];
    const running = runInProcess([...common, ...args], controller.signal);
    while (!existsSync(inFolder('out.npz.partial'))) await pause(1);
    controller.abort(new Error('interrupted'));
    const stopped = await running;
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/stopped after \d images in .*; the same command resumes from there/);
    expect(readdirSync(inFolder()).sort()).toEqual(['out.npz.partial', 'out.npz.partial.json', 'pixels']);
    expect(await toNpz('out.npz', ...args)).toMatchObject({ code: 0 });
    await toNpz('whole.npz', ...args);
    expect(readFileSync(inFolder('out.npz')).equals(readFileSync(inFolder('whole.npz')))).toBe(true);
  });

  it('knows a finished file, and refuses one made with other settings', async () => {
    await toNpz('out.npz', '--count', '4');
    const before = readFileSync(inFolder('out.npz'));
    const again = await toNpz('out.npz', '--count', '4', '--batch', '1', '--threads', '1');
    expect(again).toMatchObject({ code: 0, stdout: `${inFolder('out.npz')}\n` });
    expect(again.stderr).toContain('is complete: 4 images');
    expectBadInput(
      await toNpz('out.npz', '--count', '4', '--seed', '1'),
      'seed 42, not 1',
      'give --overwrite to replace it',
    );
    expectBadInput(await toNpz('out.npz', '--count', '4', '--cfg', '3'), 'cfg 1.5, not 3');
    expectBadInput(await toNpz('out.npz', '--count', '4', '--context-noise', '20'), 'not 20');
    const other = await saveTiny(inFolder('other'), validateConfig({ ...tinyPixels, mlpRatio: 3 }));
    const otherModel = await sample(...[other, '--npz', inFolder('out.npz'), '--count', '4', '--steps', '2']);
    expectBadInput(otherModel, 'was made with model');
    expect(readFileSync(inFolder('out.npz')).equals(before)).toBe(true);
  });

  it('leaves a file alone that another process is writing', async () => {
    const lock = await takeLock(inFolder('out.npz.partial.lock'));
    expectBadInput(
      await toNpz('out.npz', '--count', '4'),
      `process ${process.pid} on this machine is writing it`,
    );
    await lock.close();
  });

  it.skipIf(process.platform === 'win32')(
    'leaves a file to a suspended process, which finishes it',
    async () => {
      const args = ['--count', '12', '--batch', '2', '--steps', '40'];
      const running = startCli(['sample', pixels, '--npz', inFolder('out.npz'), ...args]);
      while (!existsSync(inFolder('out.npz.partial.json'))) await pause(5);
      running.child.kill('SIGSTOP');
      const longAgo = new Date(Date.now() - 3_600_000);
      utimesSync(inFolder('out.npz.partial.lock'), longAgo, longAgo);
      const other = await toNpz('out.npz', ...args);
      running.child.kill('SIGCONT');
      expectBadInput(other, `process ${running.child.pid} on this machine is writing it`);
      expect(await running.result).toMatchObject({ code: 0 });
      await toNpz('whole.npz', ...args);
      expect(readFileSync(inFolder('out.npz')).equals(readFileSync(inFolder('whole.npz')))).toBe(true);
    },
  );

  it.each([
    [['--npz', 'out.zip', '--count', '4'], 'must end in .npz'],
    [['--npz', 'out.npz'], '--npz needs --count N'],
    [['--npz', 'out.npz', '--count', '4', '--per-class', '2'], '--npz needs --count N'],
    [['--npz', 'out.npz', '--count', '0'], '--count'],
    [['--npz', 'out.npz', '--count', '4', '--labels', '0/0/1/1'], 'one label per image, got 0/0/1/1'],
    [['--npz', 'out.npz', '--count', '4', '--out', 'x'], '--out has no part'],
    [['--npz', 'out.npz', '--count', '4', '--no-decode'], '--no-decode has no part'],
    [['--npz', '/proc/x/out.npz', '--count', '4'], 'cannot write /proc/x'],
  ])('refuses %j', async (args, message) => {
    expectBadInput(await sample(pixels, ...args), message);
  });

  it('decodes latents', async () => {
    const args = [golden('image-tiny.pt'), '--vae', golden('vae-tiny'), '--steps', '2'];
    const toFile = ['--npz', inFolder('out.npz'), '--count', '3', '--batch', '2'];
    const made = await spawnCli(['sample', ...args, ...toFile]);
    expect(made).toMatchObject({ code: 0 });
    const { images, labels } = await readNpz('out.npz');
    expect(images.shape).toEqual([3, 64, 64, 3]);
    await sample(...args, '--labels', labels.join(), '--out', inFolder('png'));
    const files = visibleFiles(inFolder('png')).filter((name) => name !== 'grid.png');
    const last = await readImage(inFolder('png', files.sort()[2]));
    expect([...images.data.slice(2 * last.data.length)]).toEqual([...last.data]);
  });

  it('writes clips with an axis of frames', async () => {
    const model = await saveTiny(inFolder('clips'), tinyVideo);
    const common = [model, '--steps', '2', '--blocks', '2'];
    await sample(...common, '--npz', inFolder('out.npz'), '--count', '2');
    const { images, labels } = await readNpz('out.npz');
    expect(images.shape).toEqual([2, 4, 8, 8, 3]);
    await sample(...common, '--labels', labels.join(), '--format', 'png', '--out', inFolder('png'));
    const [, second] = visibleFiles(inFolder('png'));
    const frames: number[] = [];
    for await (const frame of readFrames(inFolder('png', second))) {
      frames.push(...withChannels(frame, 3).data);
    }
    expect([...images.data.slice(frames.length)]).toEqual(frames);
    expectBadInput(
      await sample(...common.with(-1, '1'), '--npz', inFolder('x.npz'), '--count', '2', '--fps', '4'),
      '--fps has no part',
    );
  });
});

function pause(milliseconds: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), milliseconds));
}

const SCRIPT = `
import json, sys, zipfile
import numpy
npz = numpy.load(sys.argv[1])
images, labels = npz['arr_0'], npz['arr_1']
print(json.dumps(dict(names=npz.files, damaged=zipfile.ZipFile(sys.argv[1]).testzip(), shape=images.shape,
    types=[str(images.dtype), str(labels.dtype)], first=images.ravel().tolist(), labels=labels.tolist())))
`;
