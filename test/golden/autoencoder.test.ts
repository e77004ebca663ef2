import { afterAll, describe, expect, it } from 'vitest';
import { openAutoencoder } from '../../src/checkpoints/autoencoder.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import { type Autoencoder, createAutoencoder } from '../../src/models/autoencoder/autoencoder.ts';
import { autoencoderParameters } from '../../src/models/autoencoder/stages.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { elementCount, type Tensor } from '../../src/tensor/tensor.ts';
import { formulaTensor, stableDiffusionAutoencoder } from '../support/formula-weights.ts';
import { golden, relativeError } from '../support/golden.ts';

const device = openCpu();
afterAll(() => device.dispose());

async function readGolden(name: string): Promise<Record<string, Tensor<'float32'>>> {
  const archive = await openNpz(await openFile(golden(name)));
  const entries: [string, Tensor<'float32'>][] = [];
  for (const member of archive.names)
    entries.push([member, (await archive.read(member)) as Tensor<'float32'>]);
  await archive.close();
  return Object.fromEntries(entries);
}

/** Compare both directions with the official numbers. */
async function expectGolden(autoencoder: Autoencoder, name: string, tolerance: number): Promise<void> {
  const { image, mean, logvar, latent, decoded } = await readGolden(name);
  const distribution = await autoencoder.encode(image);
  expect(distribution.mean.shape).toEqual(mean.shape);
  expect(relativeError(distribution.mean, mean)).toBeLessThan(tolerance);
  expect(relativeError(distribution.logVariance, logvar)).toBeLessThan(tolerance);
  const images = await autoencoder.decode(latent);
  expect(images.shape).toEqual(decoded.shape);
  expect(relativeError(images, decoded)).toBeLessThan(tolerance);
}

describe('AutoencoderKL against diffusers', () => {
  it.each([
    ['vae-tiny', {}],
    ['vae-tiny-old', {}],
    // In strips, of two rows and of such numbers that the last has fewer rows.
    ['vae-tiny', { stripPixels: 1 }],
    ['vae-tiny', { stripPixels: 300 }],
  ])('%s %o', async (folder, strips) => {
    const stored = await openAutoencoder(golden(folder));
    const autoencoder = await createAutoencoder({ ...stored, ...strips, device });
    await stored.close();
    expect(autoencoder.config).toMatchObject({ blockChannels: [32, 32, 64, 64], scalingFactor: 0.18215 });
    await expectGolden(autoencoder, 'vae-tiny.npz', 1e-4);
    await autoencoder.dispose();
  });

  it('the size of Stable Diffusion, with formula weights under the old names', async () => {
    const config = stableDiffusionAutoencoder;
    const shapes = autoencoderParameters(config);
    const count = (parts?: ('encoder' | 'decoder')[]): number =>
      [...autoencoderParameters(config, parts).values()].reduce((sum, shape) => sum + elementCount(shape), 0);
    expect([count(), count(['encoder']), count(['decoder'])]).toEqual([83_653_863, 34_163_664, 49_490_199]);
    const oldName = (name: string): string =>
      ['to_q=query', 'to_k=key', 'to_v=value', 'to_out.0=proj_attn'].reduce((result, pair) => {
        const [current, old] = pair.split('=');
        return result.replace(`.${current}.`, `.${old}.`);
      }, name);
    const autoencoder = await createAutoencoder({
      config,
      device,
      weights: async (name) => formulaTensor(oldName(name), shapes.get(name)!),
    });
    await expectGolden(autoencoder, 'vae-sd.npz', 1e-3);
    await autoencoder.dispose();
  });
});
