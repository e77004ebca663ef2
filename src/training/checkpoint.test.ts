import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { loadModel } from '../checkpoints/load.ts';
import { CheckpointError } from '../errors.ts';
import {
  openChecksummedSafetensors,
  writeChecksummedSafetensors,
} from '../formats/checksummed-safetensors.ts';
import { openFile } from '../io/file-source.ts';
import type { Tensor } from '../tensor/tensor.ts';
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

const resume = (
  folder: string,
  changed: Recipe = recipe,
  warn?: (message: string) => void,
): Promise<TrainingPoint | undefined> => resumeTraining(folder, config, changed, [], warn);

/** Writes a state again with a part of its metadata, or a tensor's name, replaced; its checksums are right. */
async function rewrite(file: string, before: string, after: string): Promise<void> {
  const archive = await openChecksummedSafetensors(await openFile(file));
  const { checksum: _, checksums: __, ...metadata } = archive.metadata;
  const tensors: [string, Tensor][] = [];
  for (const name of archive.names) tensors.push([name.replace(before, after), await archive.read(name)]);
  await archive.close();
  const text = JSON.stringify(metadata);
  expect(text.includes(before) || archive.names.some((name) => name.includes(before))).toBe(true);
  await writeChecksummedSafetensors(file, tensors, JSON.parse(text.replace(before, after)));
}

/** The recipe with other values of some keys. */
function changedRecipe(changes: Partial<Record<'model' | 'data' | 'training', object>>): Recipe {
  const { model, data, training } = recipe;
  return {
    ...recipe,
    model: { ...model, ...changes.model },
    data: { ...data, ...changes.data },
    training: { ...training, ...changes.training },
  };
}

describe("a trainer's state", () => {
  it('comes back as it was, next to the model folder of its average', async () => {
    const { folder, trainer } = await saved();
    expect(await resume(folder)).toEqual(pointAt(2));
    expect(await resume(folder)).not.toEqual(pointAt(3));
    expect(await loadModel(folder)).toEqual({ config, weights: pointAt(2).state.ema });
    await saveTraining(folder, config, recipe, pointAt(12345));
    expect(readdirSync(trainer)).toEqual(['step-00000002.safetensors', 'step-00012345.safetensors']);
    await saveTraining(folder, config, recipe, pointAt(12346));
    expect(readdirSync(trainer)).toEqual(['step-00012345.safetensors', 'step-00012346.safetensors']);
    await saveTraining(folder, config, recipe, pointAt(12345));
    expect(readdirSync(trainer)).toEqual(['step-00012345.safetensors']);
    expect(await resume(folder)).toEqual(pointAt(12345));
    expect(await resume(temporaryFolder())).toBeUndefined();
  });

  it('belongs to its recipe, whose length, memory, output and logs may change', async () => {
    const { folder } = await saved();
    const same: Recipe[] = [
      changedRecipe({ training: { steps: 9, activations: 'recompute' } }),
      { ...recipe, output: { ...recipe.output, folder: 'elsewhere', logEvery: 1, sampleEvery: 3 } },
      changedRecipe({ data: { classNames: ['a', 'b'] } }), // the names that the classes have anyway
      changedRecipe({ model: { prediction: 'epsilon', noiseSchedule: 'linear', positions: 'nd' } }), // defaults
      changedRecipe({ model: { attention: 'skip-causal', noiseShift: 1, contextNoise: 0 } }),
      changedRecipe({ data: { exifOrientation: false, maxPixels: 100e6, frameInterval: 1, items: 1 } }),
    ];
    for (const changed of same) expect(await resume(folder, changed)).toEqual(pointAt(2));
  });

  it.each<[Parameters<typeof changedRecipe>[0], string]>([
    [{ training: { learningRate: 1 } }, 'training.learningRate was 0.0003 and is now 1'],
    [{ training: { seed: 1 } }, 'training.seed was 0 and is now 1'],
    [{ training: { initFrom: 'x' } }, 'training.initFrom was not given and is now "x"'],
    [{ training: { betas: [0.5, 0.9] } }, 'training.betas was [0.9,0.95] and is now [0.5,0.9]'],
    [{ data: { flip: true } }, 'data.flip was false and is now true'],
    [{ model: { mlpRatio: 2 } }, 'model.mlpRatio was 4 and is now 2'],
    [{ model: { prediction: 'v' } }, 'model.prediction was "epsilon" and is now "v"'],
    [{ model: { attention: { window: 1 } } }, 'model.attention was "skip-causal" and is now {"window":1}'],
    [
      { model: { blocks: 4 }, data: { path: '/b' }, training: { batch: 3 } },
      'model.blocks was 1 and is now 4; data.path was "data" and is now "/b"; training.batch was 1 and is now 3',
    ],
  ])('is refused with %j, naming each key with both values', async (changes, message) => {
    const { folder } = await saved();
    const refused = resume(folder, changedRecipe(changes));
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(refused).rejects.toThrow(`was trained with a different recipe: ${message}. `);
    await expect(refused).rejects.toThrow('--fresh');
  });

  it('may be resumed with another learning rate or place of the data if that is allowed', async () => {
    const { folder } = await saved();
    const changed = changedRecipe({ data: { path: '/elsewhere' }, training: { learningRate: 1 } });
    const hint = '--allow-change data.path,training.learningRate';
    await expect(resume(folder, changed)).rejects.toThrow(hint);
    const resumed = await resumeTraining(folder, config, changed, ['training.learningRate', 'data.path']);
    expect(resumed).toEqual(pointAt(2));
    await expect(resumeTraining(folder, config, changed, ['data.path'])).rejects.toThrow('learningRate');
    const other = changedRecipe({ training: { learningRate: 1, seed: 3 } });
    const refused = resumeTraining(folder, config, other, ['training.learningRate']);
    await expect(refused).rejects.toThrow('recipe: training.seed was 0 and is now 3. ');
    await expect(refused).rejects.not.toThrow('allow the change');
    await expect(refused).rejects.toThrow(
      /training\.steps, .* may change, and with --allow-change training\.learningRate, /,
    );
    // What is saved now is of the changed recipe.
    await saveTraining(folder, config, changed, pointAt(3));
    expect(await resume(folder, changed)).toEqual(pointAt(3));
  });

  it.each([
    [['b', 'a'], "class 0 was 'a' and is now 'b', class 1 was 'b' and is now 'a'"],
    [['a', 'dog'], "class 1 was 'b' and is now 'dog'"],
    [['a', 'b', 'c'], "2 classes then, 3 now ('c' is new)"],
    [['b'], "2 classes then, 1 now ('a' is gone)"],
  ])('belongs to its classes in their order, not to %j', async (classNames, change) => {
    const { folder } = await saved();
    const other = recipeModel(recipe, { classNames, sampleShape: [1, 1, 8, 8] });
    const refused = resumeTraining(folder, other, recipe);
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(refused).rejects.toThrow(`other classes: ${change}. `);
    await expect(refused).rejects.toThrow('--fresh');
  });

  it('records its recipe, so that keys of later versions count with their defaults', async () => {
    const { folder, file } = await saved();
    await rewrite(file, '\\"accumulate\\":1,', ''); // as before `accumulate` existed
    expect(await resume(folder)).toEqual(pointAt(2));
    await expect(resume(folder, changedRecipe({ training: { accumulate: 2 } }))).rejects.toThrow(
      'training.accumulate was 1 and is now 2',
    );
    await rewrite(file, '{\\"model', '0123456789abcdef');
    await expect(resume(folder)).rejects.toThrow(CheckpointError);
  });

  it('of a version that added up in another order is resumed, with one line that says so', async () => {
    const { folder, file } = await saved();
    const warn = vi.fn();
    await rewrite(file, '"feedForwardPieces":"1"', '"feedForwardPieces":"2"');
    expect(await resume(folder, recipe, warn)).toEqual(pointAt(2));
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      `${file}: an earlier version wrote it, which added up in another order, so later steps differ from its own in the ` +
        'last bits',
    );
    // A version that recorded nothing took the network as one piece, as this one takes that of a small model.
    await rewrite(file, '"feedForwardPieces":"2",', '');
    expect(await resume(folder, recipe, warn)).toEqual(pointAt(2));
    expect(warn).toHaveBeenCalledOnce();
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
    const { folder, trainer } = await saved();
    await saveTraining(folder, config, recipe, pointAt(10));
    const warn = vi.fn();
    expect(await resume(folder, recipe, warn)).toEqual(pointAt(10));
    expect(warn).not.toHaveBeenCalled();
    truncateSync(join(trainer, 'step-00000010.safetensors'), 5000);
    expect(await resume(folder, recipe, warn)).toEqual(pointAt(2));
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/step-00000010.*; the state of step 2 is used instead/),
    );
    await saveTraining(folder, config, recipe, pointAt(3));
    expect(readdirSync(trainer)).toEqual(['step-00000002.safetensors', 'step-00000003.safetensors']);
  });

  it('is skipped for the older one if any bit of it was flipped', { tags: ['slow'] }, async () => {
    const { folder, trainer } = await saved();
    await saveTraining(folder, config, recipe, pointAt(10));
    const file = join(trainer, 'step-00000010.safetensors');
    const whole = readFileSync(file);
    const header = 8 + Number(whole.readBigUInt64LE(0));
    const filling = header - whole.subarray(0, header).toString('latin1').trimEnd().length;
    const older = pointAt(2);
    for (let bit = 0; bit < 8 * whole.length; bit += 1009) {
      const byte = bit >> 3;
      if (byte < header && byte >= header - filling) continue; // any white space may fill up the header
      const flipped = Buffer.from(whole);
      flipped[byte] ^= 1 << (bit & 7);
      writeFileSync(file, flipped);
      expect(await resume(folder), `bit ${bit}`).toEqual(older);
    }
  });

  it('is refused, not skipped, if it is of a different recipe', async () => {
    const { folder } = await saved();
    await saveTraining(folder, config, changedRecipe({ training: { batch: 2 } }), pointAt(10));
    await expect(resume(folder)).rejects.toThrow('training.batch was 2 and is now 1');
  });

  it.each([0, 5, 4000])('cannot be resumed if the only one is cut to %i bytes', async (length) => {
    const { folder, file } = await saved();
    truncateSync(file, length);
    await expect(resume(folder)).rejects.toThrow(CheckpointError);
    await expect(resume(folder)).rejects.toThrow(/step-00000002.*damaged.*--fresh/);
  });

  it.each(['"step":"2"', '"position":"14"'])('cannot be resumed without its %s', async (member) => {
    const { folder, file } = await saved();
    await rewrite(file, member, member.replace(/\d/, 'x'));
    await expect(resume(folder)).rejects.toThrow(/does not say its step/);
  });

  it('must hold every parameter', async () => {
    const { folder, file } = await saved();
    await rewrite(file, 'ema.x_embedder.weight', 'ema.y_embedder.weight');
    await expect(resume(folder)).rejects.toThrow(/missing: x_embedder.weight.*unknown: y_embedder.weight/);
  });
});
