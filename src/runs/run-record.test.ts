import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';
import { idxBytes } from '../../test/support/idx-files.ts';
import { checksums, tinyRun } from '../../test/support/tiny-run.ts';
import { lockFolder } from '../io/lock.ts';
import { trainingMemory } from '../training/memory.ts';
import { parseRecipe, recipeModel } from '../training/recipe.ts';

const recordOf = (folder: string, run: string) =>
  JSON.parse(readFileSync(join(folder, run, 'run.json'), 'utf8'));
const STATE = ['model.safetensors', 'trainer/step-00000002.safetensors'];

describe('the record of a run', () => {
  it('has the recipe with defaults and overrides, and of each start what it was made with', async () => {
    const { folder, train } = tinyRun();
    const args = train('run', '--steps', '1', '--training.clip', '0.25');
    expect((await runInProcess(args)).code).toBe(0);
    const given = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'));
    given.training = { ...given.training, steps: 1, clip: 0.25 };
    given.output.folder = join(folder, 'run');
    const first = recordOf(folder, 'run');
    expect(first.recipe).toEqual(JSON.parse(JSON.stringify(parseRecipe(given))));
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
    expect(first.starts).toEqual([
      {
        step: 0,
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
        command: ['acdit', ...args],
        workingFolder: process.cwd(),
        acdit: lock[''].version,
        node: process.version,
        onnxRuntime: lock['node_modules/onnxruntime-node'].version,
        system: `${process.platform} ${process.arch}`,
        processor: expect.stringContaining('cores'),
        device: expect.any(String),
        threads: 1,
        ranks: 1,
        data: { samples: 20, fingerprint: expect.stringMatching(/^\w{16}$/) },
      },
    ]);

    // Another start, another length, other data of the same size.
    const pixels = new Uint8Array(20 * 64);
    writeFileSync(join(folder, 'train-images-idx3-ubyte'), idxBytes([20, 8, 8], pixels));
    const { stderr } = await runInProcess(train('run', '--steps', '2', '--training.clip', '0.25'));
    expect(stderr).toMatch(
      /warning: the data is not what .*run was last trained on: 20 samples \(\w+\) then/,
    );
    const { starts } = recordOf(folder, 'run');
    expect(starts[0]).toEqual(first.starts[0]);
    expect(starts[1]).toMatchObject({ step: 1, changes: ['training.steps was 1 and is now 2'] });
    expect(starts).toHaveLength(2);
  });

  it('records what became of a section that is removed, in a recipe that has it or not', async () => {
    const { folder, train } = tinyRun();
    const without = ['--validation', 'null'];
    expect((await runInProcess(train('run', '--steps', '1', ...without))).code).toBe(0);
    const resumed = await runInProcess(train('run', '--steps', '2', ...without));
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(recordOf(folder, 'run').starts[1].changes).toEqual(['training.steps was 1 and is now 2']);
  });

  it('is not changed by a second run in the folder, and begins again with the run', async () => {
    const { folder, train } = tinyRun();
    await runInProcess(train('run', '--steps', '1'));
    const before = recordOf(folder, 'run');
    const lock = await lockFolder(join(folder, 'run'), {});
    expectBadInput(await runInProcess(train('run', '--steps', '2')), /is writing to it/);
    await lock.close();
    expect(recordOf(folder, 'run')).toEqual(before);
    await runInProcess(train('run', '--steps', '1', '--fresh', '--overwrite'));
    expect(recordOf(folder, 'run').starts).toMatchObject([{ step: 0 }]);
  });

  it('is begun by a run of a version without it, which one line says, and refused if it is damaged', async () => {
    const { folder, train } = tinyRun();
    await runInProcess(train('run', '--steps', '1'));
    const path = join(folder, 'run', 'run.json');
    rmSync(path);
    const { code, stderr } = await runInProcess(
      train('run', '--steps', '2').filter((arg) => arg !== '--json'),
    );
    expect(code).toBe(0);
    expect(stderr.match(/had no run.json, which now records its recipe/g)).toHaveLength(1);
    expect(recordOf(folder, 'run').starts).toMatchObject([{ step: 1 }]);
    const whole = recordOf(folder, 'run');
    writeFileSync(path, '{"format":"acdit-run"');
    expectBadInput(await runInProcess(train('run', '--steps', '3')), /run\.json: not valid JSON/);
    writeFileSync(path, JSON.stringify({ ...whole, recipe: { model: null } }));
    expectBadInput(await runInProcess(train('run', '--steps', '3')), /run\.json: not the record of a run/);
    writeFileSync(path, '{"format":"other"}');
    expectBadInput(
      await runInProcess(train('run', '--steps', '3')),
      /run\.json: not the record of a run; restore/,
    );
  });
});

describe('acdit train --from', { tags: ['slow'] }, () => {
  it('starts another run with changes: that of the recipe with these changes', async () => {
    const { folder, train } = tinyRun({ training: { accumulate: 1 } });
    await runInProcess(train('first', '--steps', '1', '--training.clip', '0.25'));
    await runInProcess(
      train('expected', '--steps', '2', '--training.clip', '0.25', '--learning-rate', '0.002'),
    );
    const from = (out: string): string[] => [
      ...['train', '--from', join(folder, 'first'), '--out', join(folder, out), '--threads', '1'],
      ...['--steps', '2', '--learning-rate', '0.002', '--output.sampleSteps', 'null'],
    ];
    expect((await runInProcess(from('second'))).code).toBe(0);
    expect(checksums(join(folder, 'second'), STATE)).toEqual(checksums(join(folder, 'expected'), STATE));
    expect(recordOf(folder, 'second').recipe.output.folder).toBe(join(folder, 'second'));
    // A run of an earlier version has its recipe in its state.
    rmSync(join(folder, 'first', 'run.json'));
    expect((await runInProcess(from('third'))).code).toBe(0);
    expect(checksums(join(folder, 'third'), STATE)).toEqual(checksums(join(folder, 'expected'), STATE));
  });

  it('finds the data of a run that was started in another folder', async () => {
    const { folder, train } = tinyRun({ training: { accumulate: 1 } });
    await runInProcess(train('first', '--steps', '1'));
    const record = recordOf(folder, 'first');
    record.recipe.data.path = '.';
    record.starts[0].workingFolder = folder;
    writeFileSync(join(folder, 'first', 'run.json'), JSON.stringify(record));
    const { code } = await runInProcess([
      'train',
      '--from',
      join(folder, 'first'),
      '--out',
      join(folder, 'second'),
    ]);
    expect(code).toBe(0);
    expect(recordOf(folder, 'second').recipe.data.path).toBe(folder);
  });

  it('never runs a module that the folder of a run names', async () => {
    const { folder, train } = tinyRun();
    await runInProcess(train('first', '--steps', '1'));
    const module = join(folder, 'first', 'attention.mjs');
    const trace = join(folder, 'ran');
    writeFileSync(
      module,
      `import { writeFileSync } from 'node:fs';\nwriteFileSync(${JSON.stringify(trace)}, '');\nexport default () => true;\n`,
    );
    const record = recordOf(folder, 'first');
    record.recipe.model.attention = module;
    writeFileSync(join(folder, 'first', 'run.json'), JSON.stringify(record));
    const args = ['train', '--from', join(folder, 'first'), '--out', join(folder, 'second')];
    const result = await runInProcess(args);
    expect(existsSync(trace)).toBe(false);
    expectBadInput(
      result,
      /its recorded recipe names the module .*, which acdit never writes and does not run/,
    );
  });

  it('is refused without a folder of its own, with a recipe too, and for what is not a run', async () => {
    const { folder } = tinyRun();
    const from = (...args: string[]) => runInProcess(['train', '--from', folder, ...args]);
    expectBadInput(await from(), /--out/);
    expectBadInput(await from(join(folder, 'recipe.json'), '--out', 'x'), /not both/);
    expectBadInput(await from('--out', join(folder, 'x')), /holds neither a run\.json nor a state/);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });
});

describe('a batch of auto', { tags: ['slow'] }, () => {
  const tiny = () => tinyRun({ training: { batch: 'auto', accumulate: 1, steps: 1 } });
  /** Estimated gigabytes of a batch of the tiny run. */
  const needed = (batch: number): number => {
    const recipe = parseRecipe({
      model: { layers: 2, hidden: 96, heads: 2, patch: 2, blocks: 4 },
      data: { path: '.' },
      training: { steps: 1, batch },
      output: { folder: '.' },
    });
    const config = recipeModel(recipe, { classNames: ['0', '1', '2'], sampleShape: [1, 1, 8, 8] });
    return trainingMemory(config, batch, 'save').total / 1e9;
  };

  it('is the largest power of two within the bound, and stays that when the run is resumed', async () => {
    const { folder, train } = tiny();
    const bound = String((needed(8) + needed(16)) / 2);
    const first = await runInProcess(
      train('run', '--training.memory', bound).filter((arg) => arg !== '--json'),
    );
    expect(first.stderr).toContain('batch 8: it needs about');
    expect(recordOf(folder, 'run').recipe.training.batch).toBe(8);
    // The same bits as with the number, apart from what the state records of the bound.
    await runInProcess(train('number', '--batch', '8', '--training.memory', bound));
    const state = ['trainer/step-00000001.safetensors', 'model.safetensors'];
    expect(checksums(join(folder, 'run'), state)).toEqual(checksums(join(folder, 'number'), state));
    const again = await runInProcess(train('run', '--steps', '2', '--training.memory', '100'));
    expect(again.code).toBe(0);
    expect(recordOf(folder, 'run').recipe.training).toMatchObject({ batch: 8, memory: 100 });
    rmSync(join(folder, 'run', 'run.json')); // its state records it too
    expect((await runInProcess(train('run', '--steps', '3', '--training.memory', '100'))).code).toBe(0);
    expect(recordOf(folder, 'run').recipe.training.batch).toBe(8);
  });

  it('has no more samples than the data, and is refused if not one fits', async () => {
    const { folder, train } = tiny();
    await runInProcess(train('run', '--training.memory', '100'));
    expect(recordOf(folder, 'run').recipe.training.batch).toBe(16);
    const refused = await runInProcess(train('small', '--training.memory', '0.01'));
    expectBadInput(refused, /a batch of 1 needs about .*GB, more than the 0\.0100 GB/);
    expect(existsSync(join(folder, 'small'))).toBe(false);
  });
});
