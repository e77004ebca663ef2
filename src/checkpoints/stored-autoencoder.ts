/** @file An autoencoder whose weights are still where they are stored, be it a file or a place in the network. */

import { z } from 'zod';
import { CheckpointError } from '../errors.ts';
import { isShardIndex } from '../formats/sharded-safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';
import { printable, problemList } from '../io/printable.ts';
import {
  type AutoencoderConfig,
  DEFAULT_SCALING_FACTOR,
  validateAutoencoder,
} from '../models/autoencoder/config.ts';
import type { ParameterSource } from '../models/autoencoder/programs.ts';
import { autoencoderParameters, currentName } from '../models/autoencoder/stages.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { elementCount, float32 } from '../tensor/tensor.ts';
import { parseConfigOf } from './config-json.ts';
import { openTensors } from './tensor-source.ts';

/** Names of the weights that diffusers writes, or of the index of their files, in order of preference. */
export const AUTOENCODER_ENTRIES: readonly string[] = [
  'safetensors',
  'safetensors.index.json',
  'bin',
  'fp16.safetensors',
  'safetensors.index.fp16.json',
  'fp16.bin',
].map((ending) => `diffusion_pytorch_model.${ending}`);
/** Those that are one file. */
export const AUTOENCODER_WEIGHTS = AUTOENCODER_ENTRIES.filter((name) => !isShardIndex(name));

const SHOWN_PROBLEMS = 20;

/** An autoencoder whose weights are still in their file. */
export interface StoredAutoencoder {
  readonly config: AutoencoderConfig;
  /** Reads a parameter by its current name, as float32, while the file is open. */
  readonly weights: ParameterSource;
  /** Close the files of the weights. */
  close(): Promise<void>;
}

/**
 * Open an autoencoder without reading its weights, wherever its bytes are.
 * @param weights a `.safetensors` file by its name, else a PyTorch state dict. It is closed if anything is wrong.
 * @throws {CheckpointError} if they do not fit; {FormatError} if the file is damaged.
 */
export async function openAutoencoderSource(
  weights: ByteSource,
  config: AutoencoderConfig,
): Promise<StoredAutoencoder> {
  return storedAutoencoder(await openTensors(weights), config, weights.name);
}

/**
 * Makes an autoencoder from the tensors of an open archive, which is closed if they do not fit.
 * @throws {CheckpointError} if they do not fit.
 */
export function storedAutoencoder(
  archive: TensorArchive,
  config: AutoencoderConfig,
  file: string,
): Promise<StoredAutoencoder> {
  return closingOnError(archive, async () => {
    const shapes = autoencoderParameters(config);
    const stored = new Map(archive.names.map((name) => [currentName(name), name]));
    requireParameters(archive, shapes, stored, file);
    return {
      config,
      async weights(name) {
        const { data } = toFloat32(await archive.read(stored.get(name)!));
        return float32(shapes.get(name)!, data);
      },
      close: () => archive.close(),
    };
  });
}

/**
 * Checks the parameters of a file.
 * @param stored the name in the file of each.
 * @throws {CheckpointError} naming all that are missing, unknown or of another shape.
 */
function requireParameters(
  archive: TensorArchive,
  shapes: ReadonlyMap<string, readonly number[]>,
  stored: ReadonlyMap<string, string>,
  file: string,
): void {
  const wrong = [...shapes].flatMap(([name, shape]) => {
    const inFile = stored.get(name);
    if (inFile === undefined) return [`${name} is missing`];
    const { shape: actual } = archive.info(inFile);
    return sameWeight(actual, shape) ? [] : [`${inFile} has shape [${actual}] instead of [${shape}]`];
  });
  const unknown = [...stored].flatMap(([name, inFile]) => (shapes.has(name) ? [] : [`${inFile} is unknown`]));
  // They name tensors of the file, which may be many and long.
  const problems = [...wrong, ...unknown].map((problem) => printable(problem, 160));
  if (problems.length === 0) return;
  throw new CheckpointError(`${file} does not fit its config.json: ${problemList(problems, SHOWN_PROBLEMS)}`);
}

/** Attention's products were 1 x 1 convolutions once, so dims of 1 at the end make no difference. */
function sameWeight(actual: readonly number[], expected: readonly number[]): boolean {
  const rank = expected.length;
  return actual.slice(0, rank).join() === expected.join() && elementCount(actual.slice(rank)) === 1;
}

const count = z.number();
const blockTypes = (type: string) => z.array(z.literal(type)).optional();
const absent = z.null().optional();

/** What diffusers writes. Fields that change nothing here are passed over; what is not supported is refused. */
const schema = z.object({
  _class_name: z.literal('AutoencoderKL').optional(),
  act_fn: z.enum(['silu', 'swish']).default('silu'),
  block_out_channels: z.array(count),
  in_channels: count.default(3),
  out_channels: count.default(3),
  latent_channels: count.default(4),
  layers_per_block: count.default(1),
  norm_num_groups: count.default(32),
  double_z: z.literal(true).optional(),
  mid_block_add_attention: z.boolean().default(true),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  down_block_types: blockTypes('DownEncoderBlock2D'),
  up_block_types: blockTypes('UpDecoderBlock2D'),
  scaling_factor: z.number().default(DEFAULT_SCALING_FACTOR),
  shift_factor: absent,
  latents_mean: absent,
  latents_std: absent,
});

/**
 * Parse the text of an autoencoder's `config.json`.
 * @throws {CheckpointError} if it is not one, or asks for what is not supported; {ConfigError} if its numbers do not
 * fit together.
 */
export function parseAutoencoderConfig(text: string, name: string): AutoencoderConfig {
  return parseConfigOf('autoencoder', text, name, schema, (data) => {
    for (const types of [data.down_block_types, data.up_block_types]) {
      if (types && types.length !== data.block_out_channels.length) {
        throw new CheckpointError(
          `${name}: ${types.length} block types for ${data.block_out_channels.length} entries of block_out_channels`,
        );
      }
    }
    return validateAutoencoder({
      inChannels: data.in_channels,
      outChannels: data.out_channels,
      latentChannels: data.latent_channels,
      blockChannels: data.block_out_channels,
      layersPerBlock: data.layers_per_block,
      groups: data.norm_num_groups,
      midAttention: data.mid_block_add_attention,
      quantConv: data.use_quant_conv,
      postQuantConv: data.use_post_quant_conv,
      scalingFactor: data.scaling_factor,
    });
  });
}
