import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { EVALUATIONS_FILE, evaluationSeries } from './evaluation-series.ts';

const first = { network: 'inception', weights: 'aa', reference: 'bb', samples: 10, cfg: 1.5 };

it('names one series for each way of making scores, and finds it again', async () => {
  const folder = temporaryFolder();
  expect(await evaluationSeries(folder, first)).toEqual({ name: 'evaluation' });
  expect(await evaluationSeries(folder, first)).toEqual({ name: 'evaluation' });
  const second = { ...first, weights: 'cc', samples: 20 };
  const change = 'weights was aa and is now cc; samples was 10 and is now 20';
  expect(await evaluationSeries(folder, second)).toEqual({ name: 'evaluation-2', change });
  expect(await evaluationSeries(folder, second)).toEqual({ name: 'evaluation-2' });
  // Settings in another order are the same settings.
  expect(await evaluationSeries(folder, Object.fromEntries(Object.entries(first).reverse()))).toEqual({
    name: 'evaluation',
  });
  expect(await evaluationSeries(folder, { ...second, autoencoder: 'dd' })).toEqual({
    name: 'evaluation-3',
    change: 'autoencoder was not given and is now dd',
  });
  expect(JSON.parse(readFileSync(join(folder, EVALUATIONS_FILE), 'utf8'))).toMatchObject({
    evaluation: first,
    'evaluation-2': second,
  });
});

it('takes no name whose scores the log has, where the record of how they were made is lost', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'metrics.jsonl'), '{"step":2,"time":1,"evaluation/frechetDistance":3}\n');
  expect(await evaluationSeries(folder, first)).toEqual({
    name: 'evaluation-2',
    change: 'how the earlier ones were made is not recorded',
  });
});

it.each([['{'], ['[]'], ['{"evaluation": 1}'], ['{"evaluation": {"samples": [1]}}']])(
  'refuses a record that holds %s',
  async (text) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, EVALUATIONS_FILE), text);
    await expect(evaluationSeries(folder, first)).rejects.toThrow(/^\S+evaluations\.json: /);
    rmSync(join(folder, EVALUATIONS_FILE));
    expect(await evaluationSeries(folder, first)).toEqual({ name: 'evaluation' });
  },
);
