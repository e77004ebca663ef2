import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { loadModel } from '../checkpoints/load.ts';
import { openCpu } from '../runtime/node.ts';
import type { Tracker } from '../training/logging/tracker.ts';
import { parseRecipe } from '../training/recipe.ts';
import { type Reporter, silentReporter } from './reporter.ts';
import { trainModel } from './train.ts';

it('trains, stops when it is aborted, and resumes to the last step', async () => {
  const folder = temporaryFolder();
  const data = writeIdxDataset(join(folder, 'data'), { count: 12, side: 8, classes: 3 });
  const run = join(folder, 'run');
  const recipe = parseRecipe({
    model: { layers: 1, hidden: 8, heads: 1, mlpRatio: 2, patch: 2, blocks: 4 },
    data: { path: data, imageSize: 8, channels: 1 },
    training: { steps: 4, batch: 4, schedule: 'constant', learningRate: 1e-3, ema: 0.9 },
    output: { folder: run, logEvery: 1, sampleEvery: 4, sampleSteps: 1, sampleWeights: 'both' },
  });
  const controller = new AbortController();
  const events: object[] = [];
  const report: Reporter = {
    ...silentReporter,
    emit(event) {
      events.push(event);
      if ('step' in event && event.step === 2) controller.abort();
    },
  };
  const device = openCpu({ threads: 1 });
  const options = { recipe, device, report };

  // Stopped before it began, it leaves nothing that a later start would refuse.
  const before = await trainModel({ ...options, report: silentReporter, signal: AbortSignal.abort() });
  expect([before, readdirSync(run)]).toEqual([
    { folder: run, step: 0, interrupted: true, corruptFiles: 0 },
    [],
  ]);

  const stopped = await trainModel({ ...options, signal: controller.signal });
  expect(stopped).toEqual({ folder: run, step: 2, interrupted: true, corruptFiles: 0 });
  expect(events).toMatchObject([
    { kind: 'start', step: 0, steps: 4 },
    { kind: 'step', step: 1, loss: expect.any(Number), productShare: expect.any(Number) },
    { kind: 'step', step: 2 },
    { kind: 'checkpoint', step: 2, model: run },
    { kind: 'interrupted', step: 2 },
  ]);
  const tracked: unknown[] = [];
  const tracker: Tracker = {
    scalars: (step, { loss }) => tracked.push([step, typeof loss]),
    image: (step, name) => tracked.push([step, name]),
    close: () => tracked.push('closed'),
  };
  const resumed = await trainModel({ ...options, trackers: [tracker] });
  expect(resumed).toMatchObject({ step: 4, interrupted: false });
  expect(tracked).toEqual([
    ...[
      [3, 'number'],
      [4, 'number'],
      [4, 'samples'],
      [4, 'samples-raw'],
    ],
    'closed',
  ]);
  expect(events.slice(5).map((event) => 'kind' in event && event.kind)).toEqual([
    ...['start', 'step', 'step', 'samples', 'samples', 'checkpoint', 'done'],
  ]);
  expect(readdirSync(join(run, 'samples'))).toEqual(['step-00000004-raw.png', 'step-00000004.png']);
  // The average is not the weights themselves.
  const [raw, ema] = readdirSync(join(run, 'samples')).map((name) =>
    readFileSync(join(run, 'samples', name)),
  );
  expect(raw.equals(ema)).toBe(false);
  expect((await loadModel(run)).config).toMatchObject({ classes: 3, blocks: 4 });
  tracked.length = 0;
  const refused = { ...options, fresh: true, trackers: [tracker] };
  await expect(trainModel(refused)).rejects.toThrow('already holds a run');
  expect(tracked).toEqual(['closed']);
  await device.dispose();
});
