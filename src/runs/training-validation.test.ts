import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';
import { idxBytes } from '../../test/support/idx-files.ts';
import { checksums, tinyRun } from '../../test/support/tiny-run.ts';
import { loadModel } from '../checkpoints/load.ts';
import { openDataset } from '../data/open.ts';
import { openCpu } from '../runtime/node.ts';
import { resumeTraining } from '../training/checkpoint.ts';
import { readMetrics } from '../training/logging/jsonl.ts';
import { parseRecipe } from '../training/recipe.ts';
import { openValidation } from '../training/validation.ts';

const VALIDATION = ['--validation.every', '3', '--validation.samples', '12'];
const STATE = ['model.safetensors', 'trainer/step-00000004.safetensors'];

/** A tiny run with held-out images. */
function runWithTest(changes: Parameters<typeof tinyRun>[0] = {}) {
  const run = tinyRun(changes);
  const pixels = Uint8Array.from({ length: 16 * 64 }, (_, i) => (i * 53 + (i >> 6) * 29) % 256);
  writeFileSync(join(run.folder, 't10k-images-idx3-ubyte'), idxBytes([16, 8, 8], pixels));
  writeFileSync(
    join(run.folder, 't10k-labels-idx1-ubyte'),
    idxBytes(
      [16],
      Uint8Array.from({ length: 16 }, (_, i) => i % 3),
    ),
  );
  const logged = (out: string) =>
    readMetrics(join(run.folder, out, 'metrics.jsonl')).filter((line) =>
      Object.keys(line).some((key) => key.startsWith('validation')),
    );
  return { ...run, logged };
}

describe('validation during training', () => {
  async function trained() {
    const run = runWithTest();
    expect((await runInProcess(run.train('run', ...VALIDATION))).code).toBe(0);
    return run;
  }

  it('logs the losses of the averaged and the raw weights, also after the last step', async () => {
    const { folder, logged } = await trained();
    expect(logged('run').map(({ step }) => step)).toEqual([3, 4]);
    const { config, weights: ema } = await loadModel(join(folder, 'run'));
    const given = JSON.parse(readFileSync(join(folder, 'run', 'run.json'), 'utf8')).recipe;
    const recipe = parseRecipe(given);
    const point = await resumeTraining(join(folder, 'run'), config, recipe);
    const dataset = await openDataset({ path: folder, split: 'test' });
    const device = openCpu({ threads: 1 });
    const settings = { samples: 12, timestepBins: 10, seed: 0 };
    const validation = await openValidation({ device, config, dataset, training: recipe.training, settings });
    for (const [name, weights] of Object.entries({ ema, raw: point!.state.weights })) {
      for (const [key, value] of Object.entries(await validation.run(weights))) {
        expect(logged('run')[1][`validation/${name}/${key}`]).toBe(value);
      }
    }
    expect(logged('run')[1]['validation/ema/loss']).not.toBe(logged('run')[1]['validation/raw/loss']);
    await device.dispose();
  });

  it('changes nothing in the training, and does not depend on its batch', { tags: ['slow'] }, async () => {
    const { folder, train, logged } = await trained();
    await runInProcess(train('without'));
    expect(checksums(join(folder, 'run'), STATE)).toEqual(checksums(join(folder, 'without'), STATE));
    // No step at all: both models are the same.
    const still = ['--learning-rate', '1e-30', '--steps', '1', ...VALIDATION];
    await runInProcess(train('small', ...still, '--batch', '1'));
    await runInProcess(train('large', ...still, '--batch', '4', '--training.seed', '5'));
    const { time: _small, ...small } = logged('small')[0];
    const { time: _large, ...large } = logged('large')[0];
    expect(small).toEqual(large);
  });

  it('is repeated where its line is missing, and begins another series with other settings', {
    tags: ['slow'],
  }, async () => {
    const { folder, train, logged } = await trained();
    const before = logged('run');
    const path = join(folder, 'run', 'metrics.jsonl');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    writeFileSync(path, `${lines.filter((line) => !/"step":4.*validation/.test(line)).join('\n')}\n`);
    expect(logged('run')).toHaveLength(1);
    await runInProcess(train('run', ...VALIDATION));
    await runInProcess(train('run', ...VALIDATION));
    expect(logged('run').map(({ time: _, ...line }) => line)).toEqual(
      before.map(({ time: _, ...line }) => line),
    );
    const { stderr } = await runInProcess(train('run', ...VALIDATION, '--validation.seed', '1'));
    expect(stderr).toMatch(/logged as validation-2\/.*: seed was 0 and is now 1/);
    expect(Object.keys(logged('run')[2])).toContain('validation-2/ema/loss');
  });

  it('is refused before the first step if the best model is to have a score that it does not log', async () => {
    const { folder, train } = runWithTest();
    for (const name of ['loss', 'ema/los', 'ema/timestep-000-199', 'raw/block-4']) {
      const best = ['--output.best', `validation/${name}`];
      expectBadInput(
        await runInProcess(train('run', ...VALIDATION, ...best)),
        `output.best names the score ${name}, which validation does not have`,
      );
    }
    expect(existsSync(join(folder, 'run'))).toBe(false);
    const best = ['--output.best', 'validation/raw/timestep-300-399'];
    expect((await runInProcess(train('run', ...VALIDATION, ...best))).code).toBe(0);
  });

  it('is refused without held-out data', async () => {
    const { train } = tinyRun();
    expectBadInput(
      await runInProcess(train('run', ...VALIDATION)),
      /validation finds no held-out data: .*; give its folder as validation\.path/,
    );
  });
});
