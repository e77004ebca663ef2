/** @file A training that takes moments, for tests that run whole commands. */

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idxBytes } from './idx-files.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Settings of the recipe's sections that replace the tiny ones. */
export interface TinySettings {
  readonly training?: object;
  readonly output?: object;
}

/** Writes a recipe and its data into a new folder, and returns the arguments that train by it into a folder there. */
export function tinyRun({ training, output }: TinySettings = {}) {
  const folder = temporaryFolder();
  const count = 20;
  const pixels = Uint8Array.from({ length: count * 64 }, (_, i) => (i * 37 + (i >> 6) * 11) % 256);
  writeFileSync(join(folder, 'train-images-idx3-ubyte'), idxBytes([count, 8, 8], pixels));
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idxBytes([count], labels));
  const recipe = join(folder, 'recipe.json');
  const settings = { batch: 2, accumulate: 5, learningRate: 0.001, clip: 0.5, seed: 5, schedule: 'constant' };
  writeFileSync(
    recipe,
    JSON.stringify({
      model: { layers: 2, hidden: 96, heads: 2, patch: 2, blocks: 4 },
      data: { path: folder, flip: true },
      training: { steps: 4, ...settings, ...training },
      output: { folder: join(folder, 'run'), checkpointEvery: 2, logEvery: 1, ...output },
    }),
  );
  const train = (out: string, ...more: string[]): string[] => {
    return ['train', recipe, '--out', join(folder, out), '--threads', '1', '--json', ...more];
  };
  return { folder, train };
}

/** Checksums of some files of a folder. */
export function checksums(folder: string, names: readonly string[]): string[] {
  return names.map((name) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex'),
  );
}
