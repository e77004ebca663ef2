import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';
import { folderOf } from '../../test/support/folder-of.ts';
import { tinyRun } from '../../test/support/tiny-run.ts';
import { openDataset } from '../data/open.ts';
import { blankImage, encodePng } from '../media/image.ts';
import { readMetrics } from '../training/logging/jsonl.ts';

const HELD = ['--data.holdOut', '0.4'];
const VALIDATED = [...HELD, '--validation.every', '4'];

/** A recipe of 24 images, and the files that it holds out. */
async function imagesRun() {
  const run = tinyRun({ training: { batch: 4, accumulate: 1, steps: 12 }, output: { checkpointEvery: 12 } });
  const images = Array.from({ length: 24 }, async (_, i): Promise<[string, Uint8Array]> => {
    return [`${i % 2 ? 'a' : 'b'}/${i}.png`, await encodePng(blankImage(8, 8, 3, 10 * i))];
  });
  const path = folderOf(Object.fromEntries(await Promise.all(images)));
  const flags = ['--data', path, '--data.imageSize', '8', ...HELD];
  const dataset = await openDataset({ path, imageSize: 8, holdOut: 0.4, part: 'heldOut' });
  const files = Array.from({ length: dataset.size }, (_, i) => join(path, dataset.key!(i)));
  return { ...run, path, flags, files };
}

describe('data.holdOut', () => {
  it('keeps samples from the training, whose losses are validated', { tags: ['slow'] }, async () => {
    const { train, flags, files, folder } = await imagesRun();
    for (const file of files) writeFileSync(file, 'not an image');
    const { code, stdout } = await runInProcess(train('run', ...flags));
    expect([code, JSON.parse(stdout.trim().split('\n').at(-1)!)]).toMatchObject([0, { corruptFiles: 0 }]);
    const { recipe, starts } = JSON.parse(readFileSync(join(folder, 'run', 'run.json'), 'utf8'));
    expect(recipe.data.holdOut).toBe(0.4);
    expect(starts[0].data).toMatchObject({ samples: 24 - files.length, heldOut: files.length });
    // Validation reads them and nothing else.
    const { code: refused, stderr } = await runInProcess(train('other', ...flags, '--validation.every', '4'));
    expect([refused, stderr]).toEqual([
      2,
      expect.stringMatching(/none of its \d+ samples can be read|are corrupt/),
    ]);
  });

  it('is part of the run, so that another share cannot resume it', { tags: ['slow'] }, async () => {
    const { train, folder } = tinyRun();
    expect((await runInProcess(train('run', ...VALIDATED))).code).toBe(0);
    const logged = readMetrics(join(folder, 'run', 'metrics.jsonl')).at(-1)!;
    expect(logged['validation/ema/loss']).toBeGreaterThan(0);
    for (const [flag, was] of [
      ['0.2', 'data.holdOut was 0.4 and is now 0.2'],
      ['null', 'data.holdOut was 0.4 and is now not given'],
    ] as const) {
      expectBadInput(await runInProcess(train('run', '--steps', '6', '--data.holdOut', flag)), was);
    }
    expect((await runInProcess(train('run', '--steps', '5', ...VALIDATED))).code).toBe(0);
    expectBadInput(
      await runInProcess(train('x', '--data.holdOutSeed', '1')),
      'data.holdOutSeed: chooses samples',
    );
    expectBadInput(await runInProcess(train('x', '--data.holdOut', '1')), 'data.holdOut');
  });

  it('is compared with that of the run that a training begins with', { tags: ['slow'] }, async () => {
    const { train, folder } = tinyRun();
    await runInProcess(train('run', '--data.holdOut', '0.2'));
    const inFolder = (name: string): string => join(folder, name);
    const from = ['train', '--from', inFolder('run'), '--threads', '1', '--steps', '1'];
    const other = await runInProcess([...from, '--out', inFolder('other'), '--data.holdOut', '0.3']);
    expect(other.stderr).toMatch(/data.holdOut was 0.2 in .*run and is now 0.3, so the validation losses/);
    expect((await runInProcess([...from, '--out', inFolder('same')])).stderr).not.toContain('holdOut');
    const init = ['--training.initFrom', inFolder('run'), '--steps', '1'];
    const seen = /initFrom .*run was trained with data.holdOut 0.2, so it may have seen samples/;
    expect((await runInProcess(train('more', ...init, '--data.holdOut', '0.4'))).stderr).toMatch(seen);
    const stated = [...from, '--out', inFolder('stated'), '--data.holdOutSeed', '0'];
    expect((await runInProcess(stated)).stderr).not.toContain('holdOut');
    const names = ['--data.classNames', '["x","y","z"]'];
    const renamed = await runInProcess([...from, '--out', inFolder('renamed'), ...names]);
    expect(renamed.stderr).toMatch(/data.classNames is not that of .*run, and files are held out by/);
    const reseeded = ['--data.holdOut', '0.2', '--data.holdOutSeed', '1'];
    expect((await runInProcess(train('seed', ...init, ...reseeded))).stderr).toMatch(seen);
    expect((await runInProcess(train('equal', ...init, '--data.holdOut', '0.2'))).stderr).not.toMatch(seen);
    expect((await runInProcess(train('none', ...init))).stderr).not.toMatch(seen);
    // A record that somebody else wrote ends no training: only the model of the folder is used.
    const record = inFolder('run/run.json');
    const foreign = JSON.parse(readFileSync(record, 'utf8'));
    foreign.recipe.model.attention = './module.mjs';
    writeFileSync(record, JSON.stringify(foreign));
    expect((await runInProcess(train('foreign', ...init, '--data.holdOut', '0.4'))).code).toBe(0);
  });

  it.each([
    ['2', /only 2 samples for 10 ranges of timesteps, so 5 of these have no loss; give more samples/],
    ['1', /only 1 sample for 10 ranges of timesteps, so 6 of these have no loss/],
    ['7', /only 7 samples for 10 ranges of timesteps, so no block visits all of these/],
    ['1000', undefined],
  ])('warns if %s samples are too few for all ranges of timesteps', async (samples, message) => {
    const { train } = tinyRun();
    const flags = ['--steps', '1', '--data.holdOut', '0.4', '--validation.every', '1'];
    const { code, stderr } = await runInProcess(train('run', ...flags, '--validation.samples', samples));
    expect(code, stderr).toBe(0);
    if (message) expect(stderr).toMatch(message);
    else expect(stderr).not.toContain('ranges of timesteps');
  });
});
