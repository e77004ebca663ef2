/** The tuned solvers of the bundled models. */

import { describe, expect, it } from 'vitest';
import { BUNDLED_MODELS } from '../src/checkpoints/bundled-names.ts';
import { openModel } from '../src/checkpoints/load.ts';
import { closingAfter } from '../src/io/byte-source.ts';

describe.each(BUNDLED_MODELS)('the solver of %s', (name) => {
  it('was fitted to it, and is closer than 2M', async () => {
    const model = await openModel(name);
    const solver = await closingAfter(model.archive, async () => model.tunedSolver?.());
    const chosen = solver?.solvers.find(({ steps }) => steps === solver.defaultSteps);
    expect(chosen?.error).toBeLessThanOrEqual(0.8 * (chosen?.secondOrderError ?? 0));
  });
});
