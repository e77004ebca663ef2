import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkpoint, pickle } from '../../test/support/pickle-writer.ts';
import { writeShards } from '../../test/support/shards.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import {
  configJson,
  oldWeights,
  type SavedAutoencoder,
  saveAutoencoder,
  tinyAutoencoder,
  tinyAutoencoderWeights,
} from '../../test/support/tiny-autoencoder.ts';
import { type AcditError, CheckpointError, ConfigError, FormatError } from '../errors.ts';
import { float32ToFloat16 } from '../tensor/convert.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { openAutoencoder } from './autoencoder.ts';
import { parseAutoencoderConfig } from './stored-autoencoder.ts';

const weights = tinyAutoencoderWeights(tinyAutoencoder);
const saved = (options: SavedAutoencoder = {}): Promise<string> =>
  saveAutoencoder(join(temporaryFolder(), 'vae'), options);

async function readBack(path: string): Promise<Map<string, Tensor<'float32'>>> {
  const { weights: source, close } = await openAutoencoder(path);
  const read = new Map<string, Tensor<'float32'>>();
  for (const name of weights.keys()) read.set(name, await source(name));
  await close();
  return read;
}

async function expectRefusal(path: string, kind: typeof AcditError, message: RegExp): Promise<void> {
  await expect(openAutoencoder(path)).rejects.toThrow(kind);
  await expect(openAutoencoder(path)).rejects.toThrow(message);
}

describe('an autoencoder folder', () => {
  it('gives its configuration and weights, also from the folder around it', async () => {
    const folder = await saved();
    for (const path of [folder, dirname(folder)]) {
      const { config, close } = await openAutoencoder(path);
      await close();
      expect(config).toEqual(tinyAutoencoder);
      expect(await readBack(path)).toEqual(weights);
    }
  });

  it.each([
    'diffusion_pytorch_model.safetensors.index.json',
    'diffusion_pytorch_model.safetensors.index.fp16.json',
  ])('may be in several files, with the index %s', async (index) => {
    const folder = await saved();
    rmSync(join(folder, 'diffusion_pytorch_model.safetensors'));
    writeShards(folder, index, [...weights]);
    expect(await readBack(folder)).toEqual(weights);
  });

  it('may have old names and attention shaped as convolutions', async () => {
    expect(await readBack(await saved({ weights: oldWeights(weights) }))).toEqual(weights);
  });

  it('may hold half floats', async () => {
    const halves = new Map(
      [...weights].map(([name, { shape, data }]) => [name, tensor('float16', shape, float32ToFloat16(data))]),
    );
    const file = 'diffusion_pytorch_model.fp16.safetensors';
    const read = await readBack(await saved({ weights: halves, file }));
    for (const [name, value] of read) {
      const expected = weights.get(name)!;
      expect(value.shape).toEqual(expected.shape);
      expect(Math.max(...value.data.map((x, i) => Math.abs(x - expected.data[i])))).toBeLessThan(1e-3);
    }
  });

  it('is refused if parts of it are missing or damaged', async () => {
    const folder = await saved();
    const file = join(folder, 'diffusion_pytorch_model.safetensors');
    truncateSync(file, 4000);
    await expectRefusal(folder, FormatError, /diffusion_pytorch_model.safetensors/);
    rmSync(file);
    await expectRefusal(folder, CheckpointError, /holds no weights; expected .*\.bin/);
    rmSync(join(folder, 'config.json'));
    await expectRefusal(folder, CheckpointError, /no autoencoder; give a folder/);
    await expectRefusal(join(folder, 'nowhere'), CheckpointError, /nowhere: no autoencoder/);
  });

  it('is refused if its .bin holds something else', async () => {
    const folder = await saved();
    rmSync(join(folder, 'diffusion_pytorch_model.safetensors'));
    writeFileSync(join(folder, 'diffusion_pytorch_model.bin'), await checkpoint(pickle(']')));
    await expectRefusal(
      folder,
      CheckpointError,
      /diffusion_pytorch_model.bin: a state dict should be a dict/,
    );
  });

  it('names every parameter that does not fit', async () => {
    const changed = new Map(weights);
    changed.delete('encoder.conv_in.bias');
    changed.set('decoder.conv_out.bias', float32([4], [0, 0, 0, 0]));
    changed.set('loss.weight', float32([1], [0]));
    const message =
      /encoder.conv_in.bias is missing; decoder.conv_out.bias has shape \[4\] instead of \[3\]; loss.weight is unknown/;
    await expectRefusal(await saved({ weights: changed }), CheckpointError, message);
  });
});

describe('parseAutoencoderConfig', () => {
  const parse = (fields: Readonly<Record<string, unknown>>) =>
    parseAutoencoderConfig(JSON.stringify({ ...configJson(tinyAutoencoder), ...fields }), 'config.json');

  it('fills in what old configurations do not say', () => {
    const absent = ['scaling_factor', 'mid_block_add_attention', 'use_quant_conv', 'use_post_quant_conv'];
    expect(parse(Object.fromEntries(absent.map((field) => [field, undefined])))).toEqual(tinyAutoencoder);
    expect(parse({ scaling_factor: 0.13025 }).scalingFactor).toBe(0.13025);
  });

  it.each<[Record<string, unknown>, typeof AcditError, RegExp]>([
    [{ _class_name: 'VQModel' }, CheckpointError, /_class_name/],
    [{ act_fn: 'gelu' }, CheckpointError, /act_fn/],
    [{ shift_factor: 0.1 }, CheckpointError, /shift_factor/],
    [{ latents_mean: [0] }, CheckpointError, /latents_mean/],
    [{ double_z: false }, CheckpointError, /double_z/],
    [
      { down_block_types: ['AttnDownEncoderBlock2D', 'DownEncoderBlock2D'] },
      CheckpointError,
      /down_block_types.0/,
    ],
    [{ up_block_types: ['UpDecoderBlock2D'] }, CheckpointError, /1 block types for 2 entries/],
    [{ block_out_channels: undefined }, CheckpointError, /block_out_channels/],
    [{ block_out_channels: [8, '16'] }, CheckpointError, /block_out_channels.1/],
    [{ block_out_channels: [], down_block_types: [], up_block_types: [] }, ConfigError, /1 to 16 entries/],
    [{ block_out_channels: [8, 6] }, ConfigError, /multiples of the 4 groups, got 6/],
    [{ block_out_channels: [8, 1e300] }, ConfigError, /whole number/],
    [{ layers_per_block: 0 }, ConfigError, /layersPerBlock must be a whole number above 0, got 0/],
    [{ latent_channels: -4 }, ConfigError, /latentChannels/],
    [{ scaling_factor: 0 }, ConfigError, /scalingFactor must be above 0/],
  ])('refuses %j', (fields, kind, message) => {
    expect(() => parse(fields)).toThrow(kind);
    expect(() => parse(fields)).toThrow(message);
  });

  it.each(['', '[]', 'null', '{'])('refuses the text %j', (text) => {
    expect(() => parseAutoencoderConfig(text, 'vae/config.json')).toThrow(CheckpointError);
    expect(() => parseAutoencoderConfig(text, 'vae/config.json')).toThrow(/^vae\/config.json: /);
  });
});
