/** @file Readers of the files of earlier runs: training states, latents, unfinished `.npz` files. */

import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newIndex, writeIndex } from '../../src/data/latents/index-file.ts';
import { openLatents } from '../../src/data/latents/latents-dataset.ts';
import { writeShard } from '../../src/data/latents/shard.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openResumableNpz, partialFile } from '../../src/formats/resumable-npz.ts';
import { makeFolders } from '../../src/io/atomic-write.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { resumeTraining, saveTraining } from '../../src/training/checkpoint.ts';
import { initialState } from '../../src/training/optimizer.ts';
import { parseRecipe, recipeModel } from '../../src/training/recipe.ts';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { fileTarget, jsonSample, type Sample, type Target } from './target.ts';

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Training states of two steps, one of them damaged: training resumes from one of them, or reports why not. */
async function stateTarget(folder: string): Promise<Target> {
  const recipe = parseRecipe({
    model: { layers: 1, hidden: 8, heads: 1, patch: 4, blocks: 1 },
    data: { path: 'data', imageSize: 8, channels: 1 },
    training: { steps: 5, batch: 1 },
    output: { folder: 'out' },
  });
  const config = recipeModel(recipe, { classNames: ['a', 'b'], sampleShape: [1, 1, 8, 8] });
  const file = (step: number): string => join(folder, 'trainer', `step-0000000${step}.safetensors`);
  for (const step of [1, 2]) {
    const state = initialState(formulaWeights(config));
    for (const { data } of state.ema.values()) data[0] = step;
    await saveTraining(folder, config, recipe, { step, position: step, state });
  }
  let before: Promise<Buffer> | undefined;
  return fileTarget({
    name: 'training state',
    samples: [{ bytes: new Uint8Array(await readFile(file(2))) }],
    checksummed: true,
    async read(bytes) {
      await writeFile(file(2), bytes);
      const read = async (): Promise<{ step: number; values: Buffer }> => {
        const { step, position, state } = (await resumeTraining(folder, config, recipe))!;
        const tensors = Object.values(state).flatMap((part) => [...part].map(([, { data }]) => data));
        return { step, values: Buffer.concat([Buffer.from(`${step} ${position}`), ...tensors.map(bytesOf)]) };
      };
      const { step, values } = await read();
      if (step === 2) return [values];
      // The state before the damaged one: its result alone is right.
      before ??= rm(file(2)).then(async () => (await read()).values);
      return values.equals(await before) ? [] : ['another state'];
    },
  });
}

/** A set of latents with two shards, whose samples are all read. */
async function latentsTarget(folder: string): Promise<Target> {
  const index = newIndex({
    classNames: ['a', 'b'],
    images: 5,
    source: 'source',
    imageSize: 8,
    exifOrientation: false,
    latentShape: [1, 2, 2],
    dtype: 'float16',
    flips: false,
    autoencoder: { fingerprint: 'abc', scalingFactor: 0.5 },
    shardSize: 3,
  });
  const sampleAt = (i: number) => ({
    frames: [{ moments: new Float32Array(8).fill(i), flipped: undefined }],
    label: i % 2,
  });
  const whole = {
    ...index,
    shards: [
      { samples: 3, skipped: 0 },
      { samples: 2, skipped: 0 },
    ],
  };
  await makeFolders(folder);
  await writeShard(folder, whole, 0, [0, 1, 2].map(sampleAt));
  await writeShard(folder, whole, 1, [3, 4].map(sampleAt));
  await writeIndex(folder, whole);
  const samples: (Sample & { readonly file: string })[] = [];
  for (const name of ['index.json', 'shard-00000.safetensors', 'shard-00001.safetensors']) {
    const bytes = new Uint8Array(await readFile(join(folder, name)));
    samples.push({
      ...(name === 'index.json' ? jsonSample(Buffer.from(bytes).toString()) : { bytes }),
      file: join(folder, name),
    });
  }
  return fileTarget({
    name: 'latents',
    samples,
    checksummed: true,
    async read(bytes, sample) {
      const { file } = samples.find((one) => one === sample)!;
      await writeFile(file, bytes);
      const dataset = await openLatents(folder).catch((error) => error);
      try {
        if (dataset instanceof Error) throw dataset;
        const values: unknown[] = [];
        for (let i = 0; i < dataset.size; i++) {
          const read = await dataset.read(i, new Generator(i));
          values.push([i, read?.label, [...(read?.values ?? [])]]);
        }
        return values;
      } finally {
        if (!(dataset instanceof Error)) await dataset.close?.();
        await writeFile(file, sample.bytes);
      }
    },
  });
}

const ROWS = 6;
const ROW_BYTES = 4;

/** An unfinished `.npz` file and its journal: it is resumed and finished, or refused. */
async function resumableTarget(folder: string): Promise<Target> {
  await makeFolders(folder);
  const path = join(folder, 'samples.npz');
  const partial = partialFile(path);
  const journal = `${partial}.json`;
  const array = { name: 'arr_0', dtype: 'uint8', shape: [ROWS, ROW_BYTES] } as const;
  const row = (i: number): Uint8Array => new Uint8Array(ROW_BYTES).fill(10 * i + 1);
  const resume = () => openResumableNpz(path, array, { seed: 1 });
  for (const rows of [2, 4]) {
    const unfinished = await resume();
    for (let i = unfinished.rows; i < rows; i++) await unfinished.append(row(i));
    await unfinished.close();
  }
  const samples = [
    { bytes: new Uint8Array(await readFile(partial)), file: partial },
    { ...jsonSample(await readFile(journal, 'utf8')), file: journal },
  ];
  for (const { file } of samples) await copyFile(file, `${file}.whole`);
  return fileTarget({
    name: 'unfinished npz and its journal',
    samples,
    checksummed: true,
    async read(bytes, sample) {
      for (const { file } of samples) await copyFile(`${file}.whole`, file);
      await writeFile(samples.find((one) => one === sample)!.file, bytes);
      const resumed = await resume();
      try {
        for (let i = resumed.rows; i < ROWS; i++) await resumed.append(row(i));
        await resumed.finish({});
      } finally {
        await resumed.close();
      }
      return [(await (await openNpz(bytesSource(await readFile(path)))).read('arr_0')).data];
    },
  });
}

/** Returns the targets of all readers of folders. */
export async function folderTargets(folder: string): Promise<Target[]> {
  return [
    await stateTarget(join(folder, 'run')),
    await latentsTarget(join(folder, 'latents')),
    await resumableTarget(join(folder, 'resumable')),
  ];
}
