import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { BUNDLED_CLASSIFIERS, DEFAULT_MODELS } from '../checkpoints/bundled-names.ts';
import { bundledClassifier, decoderPath } from './model-path.ts';

it('decoderPath returns the named autoencoder, else that of the training, which must still exist', async () => {
  const model = { config: tinyConfig(), runAutoencoder: async () => import.meta.dirname };
  expect(await decoderPath(model, undefined)).toBe(import.meta.dirname);
  expect(await decoderPath(model, 'named')).toBe('named');
  const moved = { ...model, runAutoencoder: async () => '/gone/vae' };
  await expect(decoderPath(moved, undefined)).rejects.toThrow(
    '/gone/vae, which its training used, is missing',
  );
});

it('bundledClassifier returns the classifier of a model, of the default image model if none is named', () => {
  for (const name of BUNDLED_CLASSIFIERS) expect(existsSync(bundledClassifier(name))).toBe(true);
  expect(basename(bundledClassifier())).toBe(`${DEFAULT_MODELS.image}-classifier`);
  expect(BUNDLED_CLASSIFIERS).toContain(DEFAULT_MODELS.image);
});
