import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { CheckpointError, ConfigError } from '../errors.ts';
import { type ClassifierConfig, initializeClassifier } from '../models/classifier/classifier.ts';
import { Generator } from '../tensor/generator.ts';
import { loadClassifier, saveClassifier } from './classifier.ts';

const config: ClassifierConfig = {
  modelType: 'classifier',
  name: 'tiny',
  classNames: ['a', 'b'],
  channels: 3,
  imageSize: 4,
  widths: [2],
  testAccuracy: 0.75,
};

async function saved(): Promise<string> {
  const folder = temporaryFolder();
  await saveClassifier(folder, { config, weights: initializeClassifier(config, new Generator(1)) });
  return folder;
}

/** Change what a file of the folder says. */
function edit(folder: string, changes: object): void {
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...changes }));
}

describe('a classifier on disk', () => {
  it('comes back as it was, in half precision', async () => {
    const loaded = await loadClassifier(await saved());
    expect(loaded.config).toEqual(config);
    const weights = initializeClassifier(config, new Generator(1));
    expect([...loaded.weights.keys()]).toEqual([...weights.keys()]);
    for (const [name, { shape, data }] of loaded.weights) {
      expect(shape).toEqual(weights.get(name)!.shape);
      for (const [i, value] of data.entries()) {
        expect(Math.abs(value - weights.get(name)!.data[i])).toBeLessThan(2e-3);
      }
    }
  });

  it.each<[string, object, RegExp]>([
    [
      'another kind of model',
      { modelType: 'acdit' },
      /config\.json: describes an ACDiT model, .* expected a classifier/,
    ],
    ['a strange name', { name: 'a/b' }, /name/],
    ['classes that are no list', { classNames: 3 }, /classNames/],
  ])('is refused with %s', async (_, changes, message) => {
    const folder = await saved();
    edit(folder, changes);
    await expect(loadClassifier(folder)).rejects.toThrow(CheckpointError);
    await expect(loadClassifier(folder)).rejects.toThrow(message);
  });

  it('is refused with numbers that do not fit together, or weights of another size', async () => {
    const folder = await saved();
    edit(folder, { imageSize: 5 });
    await expect(loadClassifier(folder)).rejects.toThrow(ConfigError);
    await expect(loadClassifier(folder)).rejects.toThrow(/config\.json: .*multiple of 2.*got 5/);
    edit(folder, { imageSize: 4, widths: [3] });
    await expect(loadClassifier(folder)).rejects.toThrow(
      /model\.safetensors: 'stages\.0\.halve\.weight' must have shape \[3,3,3,3\], got \[2,3,3,3\]/,
    );
    edit(folder, { widths: [2, 2] });
    await expect(loadClassifier(folder)).rejects.toThrow(/'stages\.1\.halve\.weight' .* and is missing/);
  });

  it('is refused where there is none', async () => {
    await expect(loadClassifier(temporaryFolder())).rejects.toThrow(
      /config\.json: cannot be read \(ENOENT\)/,
    );
  });
});
