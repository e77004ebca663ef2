/** The tuned solvers of the bundled models. */

import { describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoints/load.ts';
import { closingAfter } from '../src/io/byte-source.ts';
import { bundledModel } from '../src/runs/model-path.ts';

describe.each(['image', 'video'] as const)('the solver of the bundled %s model', (kind) => {
  it('was fitted to it, and is closer than 2M', async () => {
    const model = await openModel(bundledModel(kind));
    const solver = await closingAfter(model.archive, async () => model.tunedSolver?.());
    const chosen = solver?.solvers.find(({ steps }) => steps === solver.defaultSteps);
    expect(chosen?.error).toBeLessThanOrEqual(0.8 * (chosen?.secondOrderError ?? 0));
  });
});
