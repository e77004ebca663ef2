/** @file `acdit sample` with an autoencoder. */

import { cpSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openAutoencoder } from '../../src/checkpoints/autoencoder.ts';
import { openModel } from '../../src/checkpoints/load.ts';
import { parseNpy } from '../../src/formats/npy.ts';
import { readImage } from '../../src/media/image.ts';
import { createAutoencoder } from '../../src/models/autoencoder/autoencoder.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { latentsToImages } from '../../src/sampling/latents-to-images.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectBadInput, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveAutoencoder, tinyAutoencoder } from '../support/tiny-autoencoder.ts';
import { visibleFiles } from '../support/visible-files.ts';

const model = golden('image-tiny.pt');
const vae = golden('vae-tiny');
const inFolder = folderOfEachTest();

const args = (...more: string[]): string[] => ['sample', model, '--vae', vae, '--steps', '2', ...more];
const pictures = (out: string): Buffer[] =>
  visibleFiles(inFolder(out))
    .sort()
    .map((name) => readFileSync(inFolder(out, name)));

describe('acdit sample --vae', () => {
  it('writes the decoded pictures, the same whether or not another process decodes them', async () => {
    const one = args('--labels', '1,2,3', '--out', inFolder('one'), '--latents', inFolder('latents.npy'));
    expect(await runInProcess(one)).toMatchObject({ code: 0 });
    expect(visibleFiles(inFolder('one'))).toEqual([
      '000-class-1.png',
      '001-class-2.png',
      '002-class-3.png',
      'grid.png',
    ]);
    const several = args('--labels', '1,2,3', '--batch', '1', '--out', inFolder('several'));
    expect(await spawnCli(several)).toMatchObject({ code: 0 });
    expect(pictures('several')).toEqual(pictures('one'));

    const device = openCpu();
    const stored = await openAutoencoder(vae);
    const { config, archive } = await openModel(model);
    const autoencoder = await createAutoencoder({ ...stored, device, parts: ['decoder'] });
    const latents = parseNpy(readFileSync(inFolder('latents.npy'))) as Tensor<'float32'>;
    const images = await latentsToImages(autoencoder, config, latents);
    expect(images.shape).toEqual([3, 1, 3, 64, 64]);
    const picture = await readImage(inFolder('one', '001-class-2.png'));
    const expected = Uint8Array.from({ length: 3 * 64 * 64 }, (_, i) =>
      Math.floor(((images.data[3 * 64 * 64 + (i % 3) * 64 * 64 + Math.floor(i / 3)] + 1) / 2) * 255 + 0.5),
    );
    expect(Math.max(...picture.data.map((value, i) => Math.abs(value - expected[i])))).toBeLessThanOrEqual(1);
    await Promise.all([device.dispose(), stored.close(), archive.close()]);
  });

  it('ends both processes on Ctrl-C', async () => {
    const running = startCli(
      args('--steps', '1000', '--per-class', '8', '--batch', '1', '--out', inFolder('out')),
    );
    running.child.stdout.resume();
    await new Promise((resolve) => running.child.stderr.once('data', resolve));
    running.child.kill('SIGINT');
    expect(await running.result).toMatchObject({ code: 130 });
  });

  it('leaves out decoding without --vae where latents are asked for', async () => {
    const { code, stdout } = await runInProcess([
      ...['sample', model, '--labels', '1', '--steps', '1', '--out', inFolder('out')],
      ...['--latents', inFolder('latents.npy')],
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${inFolder('latents.npy')}\n` });
  });

  it('refuses an autoencoder that is missing, damaged, or of another model', async () => {
    const refuse = async (path: string, ...messages: string[]): Promise<void> =>
      expectBadInput(await runInProcess([...args('--out', inFolder('out')), '--vae', path]), ...messages);
    mkdirSync(inFolder('empty'));
    await refuse(inFolder('empty'), 'empty: no autoencoder', 'config.json');
    const copy = inFolder('copy');
    cpSync(vae, copy, { recursive: true });
    const config = readFileSync(join(copy, 'config.json'), 'utf8');
    const configured = (from: string | RegExp, to: string): void =>
      writeFileSync(join(copy, 'config.json'), config.replace(from, to));
    configured('"latent_channels": 4', '"latent_channels": 16');
    await refuse(copy, 'post_quant_conv.weight has shape [4,4,1,1] instead of [16,16,1,1]');
    configured('"latent_channels"', '"shift_factor": 0.1, "latent_channels"');
    await refuse(copy, 'shift_factor');
    configured('{', '');
    await refuse(copy, 'not valid JSON');
    configured('', '');
    truncateSync(join(copy, 'diffusion_pytorch_model.safetensors'), 1e6);
    await refuse(copy, 'diffusion_pytorch_model.safetensors: its tensors take');
    const wide = { ...tinyAutoencoder, latentChannels: 8, blockChannels: [8, 8, 8, 16] };
    const tooWide = await saveAutoencoder(inFolder('wide'), { config: wide });
    await refuse(tooWide, "latents have channels: 4, the autoencoder's 8");
    const shallow = await saveAutoencoder(inFolder('shallow'));
    await refuse(shallow, "each stand for a square of pixels of side 8, the autoencoder's 2");
    expect(readdirSync(inFolder())).not.toContain('out');
  });
});
