import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from '../src/data/open.ts';
import type { NoisedBatch } from '../src/training/gradient-pass.ts';
import { noisedBatches } from '../src/training/noising.ts';
import { parseRecipe, type Recipe, recipeModel } from '../src/training/recipe.ts';
import { idxBytes } from './support/idx-files.ts';

// As built: a worker cannot run the source as it stands.
const built = new URL('../dist/training/worker-batches.js', import.meta.url).href;
const { workerBatches } = (await import(built)) as typeof import('../src/training/worker-batches.ts');

const COUNT = 7;
let folder: string;
let recipe: Recipe;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acdit-worker-'));
  const pixels = Uint8Array.from({ length: COUNT * 64 }, (_, i) => (i * 37) % 256);
  await writeFile(join(folder, 'train-images-idx3-ubyte'), idxBytes([COUNT, 8, 8], pixels));
  await writeFile(
    join(folder, 'train-labels-idx1-ubyte'),
    idxBytes([COUNT], Uint8Array.of(0, 1, 2, 0, 1, 2, 0)),
  );
  recipe = parseRecipe({
    model: { layers: 1, hidden: 24, heads: 1, patch: 2, blocks: 4 },
    data: { path: folder, flip: true },
    training: { steps: 9, batch: 3, accumulate: 2, lossWeighting: 'debiased', seed: 5 },
    output: { folder: join(folder, 'run') },
  });
});
afterAll(() => rm(folder, { recursive: true }));

async function take(source: AsyncGenerator<NoisedBatch, void, void>, count: number): Promise<NoisedBatch[]> {
  const taken: NoisedBatch[] = [];
  for await (const batch of source) {
    taken.push(batch);
    if (taken.length === count) break;
  }
  return taken;
}

describe('batches made in a worker', () => {
  it.each([
    { step: 0, position: 0 },
    { step: 3, position: 18 },
  ])('are those made here, from step $step on', async (start) => {
    const dataset = await openDataset(recipe.data);
    const options = { recipe, config: recipeModel(recipe, dataset), dataset, start };
    const here = await take(noisedBatches(options), 5);
    expect(await take(workerBatches(recipe, start), 5)).toEqual(here);
    expect(here[0].target.data).not.toEqual(here[1].target.data);
  });

  it('leave out what is held out', async () => {
    const held = { ...recipe, data: { ...recipe.data, holdOut: 0.4 } };
    const dataset = await openDataset(held.data);
    expect(dataset.size).toBeLessThan(COUNT);
    const start = { step: 0, position: 0 };
    const options = { recipe: held, config: recipeModel(held, dataset), dataset, start };
    expect(await take(workerBatches(held, start), 5)).toEqual(await take(noisedBatches(options), 5));
  });

  it('are given up at any moment without harm to the process', async () => {
    for (let count = 0; count < 12; count++) {
      const source = workerBatches(recipe, { step: 0, position: 0 });
      for (let taken = 0; taken < count % 4; taken++) await source.next();
      if (count % 4 === 0) void source.next(); // the worker starts meanwhile
      await source.return();
    }
    expect(await take(workerBatches(recipe, { step: 0, position: 0 }), 1)).toHaveLength(1);
  });

  it('need no ONNX Runtime, which would abort the process if the worker ended while it runs', () => {
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const [, name] of readFileSync(path, 'utf8').matchAll(
        /(?:from|import|import\()\s*["']([^"']+)["']/g,
      )) {
        if (name.startsWith('.')) visit(resolve(dirname(path), name));
        else packages.add(name);
      }
    };
    visit(fileURLToPath(new URL('../dist/training/batch-worker.js', import.meta.url)));
    expect(packages).toContain('sharp');
    expect([...packages].filter((name) => name.startsWith('onnxruntime'))).toEqual([]);
  });

  it('end with what ended the worker', async () => {
    const missing = { ...recipe, data: { ...recipe.data, path: join(folder, 'nothing') } };
    await expect(take(workerBatches(missing, { step: 0, position: 0 }), 1)).rejects.toThrow(
      /nothing: does not exist/,
    );
  });
});
