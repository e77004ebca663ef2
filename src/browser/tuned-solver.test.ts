import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { saveSolver } from '../../test/support/tiny-solver.ts';
import { openFiles } from './open.ts';

describe('a solver.json among the files of a model', () => {
  it('is the one that Node reads, and refused for another model', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'own'), tinyPixels);
    const other = await saveTiny(join(temporaryFolder(), 'other'), { ...tinyPixels, mlpRatio: 3 });
    await saveSolver(folder, [3, 5]);
    const file = (from: string, name: string) => new File([readFileSync(join(from, name))], name);
    const open = (model: string) =>
      openFiles([file(model, 'config.json'), file(model, 'model.safetensors'), file(folder, 'solver.json')]);
    expect(await (await open(folder)).tunedSolver?.()).toMatchObject({ defaultSteps: 3 });
    await expect((await open(other)).tunedSolver?.()).rejects.toThrow(
      /solver.json: was made for another model/,
    );
  });
});
