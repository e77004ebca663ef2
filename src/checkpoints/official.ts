/** @file Official checkpoints: a state dict `model` beside the trainer's `args` (released code, `train.py`). */

import { CheckpointError } from '../errors.ts';
import { printable } from '../formats/printable.ts';
import { renamedArchive, type TensorArchive } from '../formats/tensor-archive.ts';
import {
  stateDict,
  type TorchCheckpoint,
  type TorchNamespace,
  type TorchValue,
} from '../formats/torch-checkpoint.ts';
import { type AcditConfig, PAPER_DOWNSAMPLING, validateConfig } from '../models/acdit/config.ts';
import { HEAD_SIZE } from '../models/acdit/weights.ts';
import { parseConfig } from './config-json.ts';

/** What is read of the trainer's arguments. */
type Arguments = TorchNamespace['attributes'];

/** Which weights of a training checkpoint: as trained last, or their moving average. */
export type WeightsChoice = 'model' | 'ema';

/** The model in an open official checkpoint. @throws {CheckpointError} if it is none. */
export function openOfficial(
  checkpoint: TorchCheckpoint,
  name: string,
  choice: WeightsChoice = 'model',
): { config: AcditConfig; archive: TensorArchive } {
  const { value } = checkpoint;
  const keys =
    value instanceof Map ? `a dict with ${[...value.keys()].slice(0, 8).join(', ')}` : typeof value;
  if (!(value instanceof Map) || !(value.get('model') instanceof Map)) {
    throw new CheckpointError(
      `${name}: expected a dict with 'model' and 'args' as the official trainer saves, got ${printable(keys)}`,
    );
  }
  const weights = value.get(choice);
  if (!(weights instanceof Map) || weights.size === 0) {
    throw new CheckpointError(`${name}: holds no '${choice}' weights; it is ${printable(keys)}`);
  }
  const args = value.get('args');
  if (typeof args !== 'object' || args === null || !('kind' in args) || args.kind !== 'namespace') {
    throw new CheckpointError(
      `${name}: 'args' is no argparse.Namespace, so the layout of the model is unknown`,
    );
  }
  const archive = withoutWrappers(stateDict(weights, () => checkpoint.close()));
  const config = recordedConfig(args.attributes, name) ?? officialConfig(args.attributes, archive, name);
  return { config, archive };
}

/** An argument of our own, which the official code passes over: the configuration as `config.json` holds it. */
export const CONFIG_ARGUMENT = 'acdit_config';

function recordedConfig(args: Arguments, name: string): AcditConfig | undefined {
  const text = args.get(CONFIG_ARGUMENT);
  return typeof text === 'string' ? parseConfig(text, `${name}: args.${CONFIG_ARGUMENT}`) : undefined;
}

/** What DistributedDataParallel and torch.compile put before every name. */
const WRAPPERS = /^(?:module\.|_orig_mod\.)+/;

function withoutWrappers(archive: TensorArchive): TensorArchive {
  if (!archive.names.some((name) => WRAPPERS.test(name))) return archive;
  return renamedArchive(archive, new Map(archive.names.map((name) => [name.replace(WRAPPERS, ''), name])));
}

function wholeNumber(args: Arguments, key: string, name: string, fallback?: number): number {
  const value = args.get(key) ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new CheckpointError(
      `${name}: args.${key} should be a whole number above 0, got ${describe(args.get(key))}`,
    );
  }
  return value;
}

function describe(value: TorchValue | undefined): string {
  return value === undefined ? 'nothing' : typeof value === 'object' ? 'an object' : String(value);
}

/** `nd_split` is null, a list, or a string such as "2_3_3". */
function positionSplit(args: Arguments, name: string, isVideo: boolean): number[] {
  const value = args.get('nd_split');
  if (value === undefined || value === null) return isVideo ? [2, 3, 3] : [1, 1];
  const parts =
    typeof value === 'string' ? value.split('_').map(Number) : Array.isArray(value) ? value.map(Number) : [];
  if (parts.length === 0 || parts.some((part) => !Number.isSafeInteger(part) || part < 1)) {
    throw new CheckpointError(`${name}: args.nd_split should be like 1_1 or 2_3_3, got ${describe(value)}`);
  }
  return parts;
}

/** The name in `args.model` may be in no registry: the sizes are read off the tensors. */
export function officialConfig(
  args: Arguments,
  archive: Pick<TensorArchive, 'names' | 'has' | 'info'>,
  name: string,
): AcditConfig {
  const shapeOf = (parameter: string): readonly number[] => {
    if (!archive.has(parameter)) throw new CheckpointError(`${name}: no ACDiT: '${parameter}' is missing`);
    return archive.info(parameter).shape;
  };
  const layers = new Set(archive.names.flatMap((key) => /^blocks\.(\d+)\./.exec(key)?.[1] ?? [])).size;
  const [hidden, tokenSize] = shapeOf('x_embedder.weight');
  const [mlp] = shapeOf('blocks.0.mlp.fc1.weight');
  const [labels] = shapeOf('y_embedder.embedding_table.weight');
  const [head] = archive.has('blocks.0.attn.q_norm.weight')
    ? shapeOf('blocks.0.attn.q_norm.weight')
    : [HEAD_SIZE];
  const patch = wholeNumber(args, 'patch_size', name);
  const downsampling = wholeNumber(args, 'vae_patch_pixels', name, PAPER_DOWNSAMPLING);
  const side = wholeNumber(args, 'image_size', name) / downsampling;
  const frames = wholeNumber(args, 'num_frames', name, 1);
  const split = positionSplit(args, name, frames > 1);
  const square = args.get('square_block');
  return validateConfig({
    modelType: 'acdit',
    layers,
    hidden,
    heads: hidden / head,
    mlpRatio: mlp / hidden,
    classes: labels - 1,
    space: 'latents',
    channels: tokenSize / patch ** 2,
    frames,
    ...(downsampling !== PAPER_DOWNSAMPLING && { downsampling }),
    height: side,
    width: side,
    patch,
    blockSize: wholeNumber(args, 'block_size', name),
    blocks: wholeNumber(args, 'ar_len', name),
    squareBlocks: typeof square === 'boolean' ? square : frames === 1,
    positionSplit: split,
  });
}
