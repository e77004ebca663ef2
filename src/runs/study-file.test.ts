/** The studies that are shipped. */

import { expect, it } from 'vitest';
import type { DatasetTraits } from '../training/recipe.ts';
import { readStudy, studyRuns } from './study-file.ts';

const classNames = Array.from({ length: 10 }, (_, i) => `class ${i}`);

it.each([
  ['trade-off', 12, 1e14],
  ['ablations', 14, 2e13],
  ['sizes', 8, 5e13],
  ['sampling-cost', 27, 0],
])('%s has %d runs of %d operations, as docs/studies.md says', async (name, count, operations) => {
  const study = await readStudy(`recipes/studies/${name}.json`);
  const runs = await studyRuns(study, async ({ frames = 1, imageSize = 32 }): Promise<DatasetTraits> => {
    return { classNames, sampleShape: [frames, 1, imageSize, imageSize] };
  });
  expect(runs).toHaveLength(count);
  for (const run of runs) {
    const perStep = run.operations / run.recipe.training.steps;
    expect(Math.abs(run.operations - operations)).toBeLessThanOrEqual(perStep / 2 + 1);
    if (operations > 0) expect(run.recipe.evaluation?.every).toBe(run.recipe.training.steps);
  }
  const tokens = runs.map(({ config }) => config.blocks * config.blockSize);
  expect(new Set(tokens)).toEqual(new Set(name === 'sampling-cost' ? [1024, 4096, 16384] : [64]));
});
