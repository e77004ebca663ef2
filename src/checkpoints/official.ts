/**
 * @file Official checkpoints: a state dict `model` next to the trainer's `args` (released code, `train.py`), and what
 * other trainers, wrappers and people make of it.
 */

import { CheckpointError } from '../errors.ts';
import { renamedArchive, type TensorArchive } from '../formats/tensor-archive.ts';
import { isNamespace, type TorchCheckpoint, type TorchValue } from '../formats/torch/checkpoint.ts';
import { printable, printableList } from '../io/printable.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parseConfig } from './config-json.ts';
import {
  type Arguments,
  type CheckpointLayout,
  completeArguments,
  officialConfig,
} from './official-config.ts';
import { openStateDict } from './tensor-source.ts';

/** Which weights of a training checkpoint: as trained last, or their moving average. */
export type WeightsChoice = 'model' | 'ema';

/** The names that trainers give to each, the official one first. */
const WEIGHTS_KEYS: Readonly<Record<WeightsChoice, readonly string[]>> = {
  model: ['model', 'state_dict', 'model_state_dict', 'module'],
  ema: ['ema', 'ema_state_dict', 'model_ema'],
};
const ARGUMENTS_KEYS = ['args', 'hyper_parameters', 'config'];

/** An argument of our own, which the official code ignores: the configuration as in `config.json`. */
export const CONFIG_ARGUMENT = 'acdit_config';

/** Another one: what a training records of itself. */
export const RUN_ARGUMENT = 'acdit_run';

/** A parameter that every ACDiT has. */
const KNOWN_PARAMETER = 'x_embedder.weight';

type Dict = ReadonlyMap<TorchValue, TorchValue>;

/** Which of a stored model's weights to take. */
export interface OpenOptions {
  /**
   * The trained weights, or their moving average. Default: what a checkpoint calls its model, which in a model folder
   * is the average.
   */
  readonly weights?: WeightsChoice | undefined;
  /**
   * How images are divided into tokens and blocks, for a checkpoint that does not state it, such as a bare state dict.
   */
  readonly layout?: CheckpointLayout | undefined;
}

/**
 * Returns the model in an open official checkpoint.
 * @throws {CheckpointError} if it holds none, or neither it nor `layout` states how images are divided.
 */
export function openOfficial(
  checkpoint: TorchCheckpoint,
  name: string,
  { weights: choice, layout = {} }: OpenOptions = {},
): { config: AcditConfig; archive: TensorArchive } {
  const { value } = checkpoint;
  if (!(value instanceof Map)) {
    const got = isNamespace(value)
      ? `an object of the class ${value.className}; save its state_dict() instead`
      : printable(value);
    throw new CheckpointError(
      `${name}: expected a dict with 'model' and 'args' as the official trainer saves, got ${got}`,
    );
  }
  const weights = chosenWeights(value, choice, name);
  const archive = withoutWrappers(openStateDict(checkpoint, weights, name), name);
  const args = argumentsOf(value);
  const recorded = recordedConfig(args, name);
  if (recorded) return { config: recorded, archive };
  if (!archive.has(KNOWN_PARAMETER)) {
    throw new CheckpointError(`${name}: not an ACDiT: '${KNOWN_PARAMETER}' is missing`);
  }
  return { config: officialConfig(completeArguments(args, layout, name), archive, name), archive };
}

/** Returns the weights that were chosen; without a choice, the model's, or the only ones. */
function chosenWeights(
  value: Dict,
  choice: WeightsChoice | undefined,
  name: string,
): Map<TorchValue, TorchValue> {
  const model = firstDict(value, WEIGHTS_KEYS.model) ?? bareStateDict(value);
  const ema = firstDict(value, WEIGHTS_KEYS.ema);
  const chosen = choice === undefined ? (model ?? ema) : { model, ema }[choice];
  if (chosen) return chosen;
  const keys = `a dict with ${printableList(value.keys())}`;
  const other = choice === 'ema' ? model && 'model' : ema && 'ema';
  if (choice !== undefined && other) {
    throw new CheckpointError(`${name}: holds no '${choice}' weights, but '${other}'; it is ${keys}`);
  }
  throw new CheckpointError(
    `${name}: expected a dict with 'model' and 'args' as the official trainer saves, or a state dict, got ${keys}`,
  );
}

/** Whether a checkpoint holds a moving average of its weights. */
export function hasAverage(value: Dict): boolean {
  return firstDict(value, WEIGHTS_KEYS.ema) !== undefined;
}

function firstDict(value: Dict, keys: readonly string[]): Map<TorchValue, TorchValue> | undefined {
  return keys
    .map((key) => value.get(key))
    .find((item): item is Map<TorchValue, TorchValue> => item instanceof Map && item.size > 0);
}

/** Returns the value itself, if it has the parameters that other checkpoints have under `model`. */
function bareStateDict(value: Dict): Map<TorchValue, TorchValue> | undefined {
  const isKnown = (key: TorchValue): boolean =>
    typeof key === 'string' && withoutWrapper(key) === KNOWN_PARAMETER;
  return value instanceof Map && [...value.keys()].some(isKnown) ? value : undefined;
}

/** Returns the arguments, from a Namespace, another object, or a dict; none if they are missing. */
export function argumentsOf(value: Dict): Arguments {
  for (const key of ARGUMENTS_KEYS) {
    const args = value.get(key);
    if (isNamespace(args)) return args.attributes;
    if (args instanceof Map)
      return new Map(
        [...args].filter((entry): entry is [string, TorchValue] => typeof entry[0] === 'string'),
      );
  }
  return new Map();
}

function recordedConfig(args: Arguments, name: string): AcditConfig | undefined {
  const text = args.get(CONFIG_ARGUMENT);
  return typeof text === 'string' ? parseConfig(text, `${name}: args.${CONFIG_ARGUMENT}`) : undefined;
}

/**
 * What wrappers put into names: DistributedDataParallel and DeepSpeed `module`, torch.compile `_orig_mod`, activation
 * checkpointing and FSDP the others, each around the whole model or a part of it; Lightning `model` before all.
 */
const WRAPPERS = /(?<=^|\.)(?:module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\./g;
const WHOLE_MODEL = /^model\./;

/** Removes from a parameter's name what wrappers add. */
export function withoutWrapper(name: string): string {
  return name.replace(WRAPPERS, '').replace(WHOLE_MODEL, '').replace(WRAPPERS, '');
}

/** @throws {CheckpointError} if two tensors have the same name without their wrappers. */
function withoutWrappers(archive: TensorArchive, file: string): TensorArchive {
  const stored = new Map<string, string>();
  for (const name of archive.names) {
    const plain = withoutWrapper(name);
    const other = stored.get(plain);
    if (other !== undefined) {
      throw new CheckpointError(
        `${file}: both ${printable(other)} and ${printable(name)} are ${printable(plain)}`,
      );
    }
    stored.set(plain, name);
  }
  return renamedArchive(archive, stored);
}
