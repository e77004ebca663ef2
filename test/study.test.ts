/** Studies that are killed, and two processes in one folder. */

// @module-tag slow

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runInProcess, startCli } from './support/cli.ts';
import { tinyRun } from './support/tiny-run.ts';

/** Writes a study of two trainings. */
function tinyStudy() {
  const { folder } = tinyRun({ training: { steps: 30 }, output: { checkpointEvery: 4 } });
  const path = join(folder, 'study.json');
  const axes = [{ key: 'model.blocks', values: [1, 4] }];
  const study = { title: 'Killed', folder: join(folder, 'study'), base: 'recipe.json', axes, seeds: [1] };
  writeFileSync(path, JSON.stringify({ ...study, metrics: ['loss', 'gradientNorm'] }));
  const results = (): string => readFileSync(join(study.folder, 'results.csv'), 'utf8');
  return { folder, args: ['study', path, '--threads', '1', '--json'], results };
}

it('has the results of a study that was never stopped, after kill -9 and SIGTERM, and runs in one process at a time', async () => {
  const whole = tinyStudy();
  expect((await runInProcess(whole.args)).code).toBe(0);
  const { folder, args, results } = tinyStudy();
  const first = startCli(args);
  await first.printed('"step":7,');
  const second = await runInProcess(args);
  expect([second.code, second.stderr]).toEqual([2, expect.stringContaining('is writing to it')]);
  first.child.kill('SIGKILL');
  await first.result;
  const third = startCli(args);
  await third.printed(`"step":4,"model":${JSON.stringify(join(folder, 'study', 'blocks-4_seed-1'))}`);
  third.child.kill('SIGTERM');
  expect((await third.result).code).not.toBe(0);
  const { code, stderr } = await runInProcess(args);
  expect(code, stderr).toBe(0);
  expect(results()).toBe(whole.results());
}, 120_000);
