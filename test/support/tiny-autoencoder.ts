/** @file Autoencoder folders in diffusers' layout, small and with formula weights. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/formats/safetensors-writer.ts';
import type { AutoencoderConfig } from '../../src/models/autoencoder/config.ts';
import { autoencoderParameters } from '../../src/models/autoencoder/stages.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { formulaTensor, stableDiffusionAutoencoder } from './formula-weights.ts';

/** Halves once; latents of 4 channels. */
export const tinyAutoencoder: AutoencoderConfig = {
  ...stableDiffusionAutoencoder,
  blockChannels: [8, 16],
  layersPerBlock: 1,
  groups: 4,
};

export function tinyAutoencoderWeights(config: AutoencoderConfig): Map<string, Tensor<'float32'>> {
  return new Map(
    [...autoencoderParameters(config)].map(([name, shape]) => [name, formulaTensor(name, shape)]),
  );
}

/** `config.json` as diffusers names its fields. */
export function configJson(config: AutoencoderConfig): Record<string, unknown> {
  return {
    _class_name: 'AutoencoderKL',
    act_fn: 'silu',
    block_out_channels: config.blockChannels,
    down_block_types: config.blockChannels.map(() => 'DownEncoderBlock2D'),
    up_block_types: config.blockChannels.map(() => 'UpDecoderBlock2D'),
    in_channels: config.inChannels,
    out_channels: config.outChannels,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    norm_num_groups: config.groups,
    mid_block_add_attention: config.midAttention,
    use_quant_conv: config.quantConv,
    use_post_quant_conv: config.postQuantConv,
    scaling_factor: config.scalingFactor,
    sample_size: 256,
    force_upcast: true,
    shift_factor: null,
  };
}

export interface SavedAutoencoder {
  readonly config?: AutoencoderConfig;
  /** More or other fields of `config.json`; undefined leaves one out. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly weights?: ReadonlyMap<string, Tensor>;
  readonly file?: string;
}

/** Write a folder; gives its path. */
export async function saveAutoencoder(
  folder: string,
  {
    config = tinyAutoencoder,
    fields = {},
    weights = tinyAutoencoderWeights(config),
    file = 'diffusion_pytorch_model.safetensors',
  }: SavedAutoencoder = {},
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...configJson(config), ...fields }));
  await writeSafetensors(join(folder, file), [...weights]);
  return folder;
}

/** Weights under the names and, in attention, the shapes of before diffusers 0.12. */
export function oldWeights(weights: ReadonlyMap<string, Tensor<'float32'>>): Map<string, Tensor<'float32'>> {
  const names = { '.to_q.': '.query.', '.to_k.': '.key.', '.to_v.': '.value.', '.to_out.0.': '.proj_attn.' };
  return new Map(
    [...weights].map(([name, value]) => {
      const found = Object.entries(names).find(([current]) => name.includes(current));
      if (!found) return [name, value];
      const shape = value.shape.length === 2 ? [...value.shape, 1, 1] : value.shape;
      return [name.replace(...found), float32(shape, value.data)];
    }),
  );
}
