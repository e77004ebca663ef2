import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { loadModel } from '../checkpoints/load.ts';
import { CheckpointError } from '../errors.ts';
import { resumeTraining, saveTraining, type TrainingPoint } from './checkpoint.ts';
import { initialState } from './optimizer.ts';
import { parseRecipe, type Recipe, recipeModel } from './recipe.ts';

const recipe = parseRecipe({
  model: { layers: 1, hidden: 8, heads: 1, patch: 4, blocks: 1 },
  data: { path: 'data', imageSize: 8, channels: 1 },
  training: { steps: 5, batch: 1 },
  output: { folder: 'out' },
});
const config = recipeModel(recipe, { classNames: ['a', 'b'], sampleShape: [1, 1, 8, 8] });

function pointAt(step: number): TrainingPoint {
  const state = initialState(formulaWeights(config));
  for (const [i, part] of [state.weights, state.ema, state.firstMoments, state.secondMoments].entries()) {
    for (const { data } of part.values()) data[0] = 10 * step + i;
  }
  return { step, position: step * 7, state };
}

/** A run's folder that holds the state of step 2. */
async function saved(): Promise<{ folder: string; trainer: string; file: string }> {
  const folder = temporaryFolder();
  await saveTraining(folder, config, recipe, pointAt(2));
  const trainer = join(folder, 'trainer');
  return { folder, trainer, file: join(trainer, 'step-00000002.safetensors') };
}

const resume = (folder: string, changed: Recipe = recipe): Promise<TrainingPoint | undefined> =>
  resumeTraining(folder, config, changed);

describe("a trainer's state", () => {
  it('comes back as it was, beside the model folder of its average', async () => {
    const { folder, trainer } = await saved();
    expect(await resume(folder)).toEqual(pointAt(2));
    expect(await resume(folder)).not.toEqual(pointAt(3));
    expect(await loadModel(folder)).toEqual({ config, weights: pointAt(2).state.ema });
    await saveTraining(folder, config, recipe, pointAt(12345));
    expect(readdirSync(trainer)).toEqual(['step-00012345.safetensors']);
    expect(await resume(folder)).toEqual(pointAt(12345));
    expect(await resume(temporaryFolder())).toBeUndefined();
  });

  it('belongs to its recipe, whose length, memory, output and logs may change', async () => {
    const { folder } = await saved();
    const { model, data, training, output } = recipe;
    const same: Recipe[] = [
      { ...recipe, training: { ...training, steps: 9, activations: 'recompute' } },
      { ...recipe, output: { ...output, folder: 'elsewhere', logEvery: 1, sampleEvery: 3 } },
    ];
    for (const changed of same) expect(await resume(folder, changed)).toEqual(pointAt(2));
    const others: Recipe[] = [
      { ...recipe, training: { ...training, learningRate: 1 } },
      { ...recipe, training: { ...training, seed: 1 } },
      { ...recipe, data: { ...data, flip: true } },
      { ...recipe, model: { ...model, mlpRatio: 2 } },
    ];
    for (const changed of others) {
      await expect(resume(folder, changed)).rejects.toThrow(CheckpointError);
      await expect(resume(folder, changed)).rejects.toThrow(/another recipe.*--fresh/);
    }
  });

  it('outlives a kill in the middle of writing the next, whose remains are swept up', async () => {
    const { folder, trainer, file } = await saved();
    const remains = [
      join(trainer, '.step-00000003.safetensors.0123456789ab.tmp'),
      join(folder, '.model.safetensors.0123456789ab.tmp'),
    ];
    const others = join(folder, '.mine.tmp');
    for (const path of [...remains, others]) writeFileSync(path, readFileSync(file).subarray(0, 1000));
    expect(await resume(folder)).toEqual(pointAt(2));
    await saveTraining(folder, config, recipe, pointAt(3));
    expect(await resume(folder)).toEqual(pointAt(3));
    expect([...remains, others].map(existsSync)).toEqual([false, false, true]);
  });

  it('is the newest of several, or an older whole one if that is damaged', async () => {
    const { folder, trainer, file } = await saved();
    const bytes = readFileSync(file);
    await saveTraining(folder, config, recipe, pointAt(10));
    writeFileSync(file, bytes); // as after a kill between writing the new one and removing the old one
    expect(await resume(folder)).toEqual(pointAt(10));
    truncateSync(join(trainer, 'step-00000010.safetensors'), 5000);
    expect(await resume(folder)).toEqual(pointAt(2));
    await saveTraining(folder, config, recipe, pointAt(3));
    expect(readdirSync(trainer)).toEqual(['step-00000003.safetensors']);
  });

  it.each([0, 5, 4000])('cannot be resumed if the only one is cut to %i bytes', async (length) => {
    const { folder, file } = await saved();
    truncateSync(file, length);
    await expect(resume(folder)).rejects.toThrow(CheckpointError);
    await expect(resume(folder)).rejects.toThrow(/step-00000002.*damaged.*--fresh/);
  });

  it.each(['"step":"2"', '"position":"14"'])('cannot be resumed without its %s', async (member) => {
    const { folder, file } = await saved();
    const bytes = readFileSync(file);
    bytes.write(member.replace(/\d/, 'x'), bytes.indexOf(member));
    writeFileSync(file, bytes);
    await expect(resume(folder)).rejects.toThrow(/does not say its step/);
  });

  it('must hold every parameter', async () => {
    const { folder, file } = await saved();
    const bytes = readFileSync(file);
    const name = 'ema.x_embedder.weight';
    bytes.write('ema.y_embedder.weight', bytes.indexOf(name));
    writeFileSync(file, bytes);
    await expect(resume(folder)).rejects.toThrow(/missing: x_embedder.weight.*unknown: y_embedder.weight/);
  });
});
