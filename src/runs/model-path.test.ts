import { expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { decoderPath } from './model-path.ts';

it('decoderPath returns the named autoencoder, else that of the training, which must still exist', async () => {
  const model = { config: tinyConfig(), runAutoencoder: async () => import.meta.dirname };
  expect(await decoderPath(model, undefined)).toBe(import.meta.dirname);
  expect(await decoderPath(model, 'named')).toBe('named');
  const moved = { ...model, runAutoencoder: async () => '/gone/vae' };
  await expect(decoderPath(moved, undefined)).rejects.toThrow(
    '/gone/vae, which its training used, is missing',
  );
});
