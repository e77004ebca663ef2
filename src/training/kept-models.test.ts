import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';
import { checksums, tinyRun } from '../../test/support/tiny-run.ts';
import { readMetrics } from './logging/jsonl.ts';

/** A run that validates on its own data, where a large learning rate makes the loss go up and down. */
function keepingRun(output: object) {
  const { folder, train } = tinyRun({
    training: { steps: 6, accumulate: 1, ema: 0 },
    output: { checkpointEvery: 1, ...output },
  });
  const validation = ['--validation.every', '1', '--validation.path', folder, '--validation.samples', '4'];
  const settings = [...validation, '--learning-rate', '0.1', '--training.clip', '100'];
  const inRun = (...names: string[]): string => join(folder, 'run', ...names);
  const losses = () =>
    readMetrics(inRun('metrics.jsonl')).flatMap(({ step, 'validation/ema/loss': value }) =>
      typeof value === 'number' ? [{ step, value }] : [],
    );
  const kept = () => readdirSync(inRun('checkpoints')).sort();
  return {
    folder,
    inRun,
    losses,
    kept,
    train: (out: string, ...more: string[]) => runInProcess(train(out, ...settings, ...more)),
  };
}

const named = (...steps: number[]): string[] => steps.map((step) => `step-0000000${step}`);

describe('kept models', () => {
  it('are those of the newest checkpoints, and the best by a score', { tags: ['slow'] }, async () => {
    const { folder, inRun, losses, kept, train } = keepingRun({ keep: 2, best: 'validation/ema/loss' });
    expect((await train('run')).code).toBe(0);
    const found = losses();
    expect(found.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    const best = found.reduce((least, one) => (one.value < least.value ? one : least));
    expect(best.step).toBeLessThan(5); // so that it is not one of the newest
    expect(kept()).toEqual(named(best.step, 5, 6));
    const model = `checkpoints/${named(best.step)[0]}`;
    expect(JSON.parse(readFileSync(inRun('best.json'), 'utf8'))).toMatchObject({
      metric: 'validation/ema/loss',
      ...best,
      model,
    });
    // Each is the model of a run of this many steps.
    for (const step of [best.step, 5]) {
      await train(`to-${step}`, '--steps', String(step), '--output.keep', 'null', '--output.best', 'null');
      expect(existsSync(join(folder, `to-${step}`, 'checkpoints'))).toBe(false);
      const files = ['model.safetensors', 'config.json'];
      expect(checksums(inRun('checkpoints', named(step)[0]), files)).toEqual(
        checksums(join(folder, `to-${step}`), files),
      );
    }
    expect(checksums(inRun('best'), ['config.json'])).toEqual(checksums(inRun(model), ['config.json']));
  });

  it('of steps that a resumed run takes again are dropped, also what a kill left', async () => {
    const { inRun, kept, losses, train } = keepingRun({ keep: 9, best: 'validation/ema/loss' });
    await train('run');
    const before = { kept: kept(), losses: losses() };
    const modelsOf = () =>
      checksums(
        inRun('checkpoints'),
        kept().map((name) => `${name}/model.safetensors`),
      );
    const models = modelsOf();
    const recorded = JSON.parse(readFileSync(inRun('best.json'), 'utf8'));
    // As if it had been killed while it kept the model of step 5, and had then lost the state of step 6.
    rmSync(inRun('trainer', 'step-00000006.safetensors'));
    rmSync(inRun('checkpoints', 'step-00000005'), { recursive: true });
    mkdirSync(inRun('checkpoints', '.step-00000005.0123456789ab.tmp'));
    writeFileSync(inRun('checkpoints', '.step-00000005.0123456789ab.tmp', 'model.safetensors'), 'half');
    writeFileSync(
      inRun('best.json'),
      JSON.stringify({ metric: 'validation/ema/loss', value: 0, step: 6, model: 'x', previous: recorded }),
    );
    expect((await train('run', '--steps', '5')).code).toBe(0);
    expect(kept()).toEqual(named(1, 2, 3, 4, 5));
    expect((await train('run')).code).toBe(0);
    expect(losses()).toEqual(before.losses);
    expect(kept()).toEqual(before.kept);
    expect(modelsOf()).toEqual(models);
    const best = before.losses.reduce((least, one) => (one.value < least.value ? one : least));
    expect(recorded).toMatchObject(best);
    expect(JSON.parse(readFileSync(inRun('best.json'), 'utf8'))).toMatchObject(best);
  });

  it('are refused by a score that is not computed, or is not one', async () => {
    const { train } = keepingRun({ best: 'evaluation/frechetDistance' });
    expectBadInput(
      await train('run'),
      /output\.best: names a score of validation or evaluation, which the recipe/,
    );
    expectBadInput(await train('run', '--output.best', 'loss'), /output\.best: /);
  });
});
