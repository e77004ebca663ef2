/** @file A model whose weights are still where they are stored, be it a file or a place in the network. */

import { CheckpointError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { type ByteSource, closingOnError, type FilePlace } from '../io/byte-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { checkWeights, parameters, type Weights } from '../models/acdit/weights.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { bytesPerElement, type Tensor } from '../tensor/tensor.ts';
import { parseConfig } from './config-json.ts';
import { openOfficial } from './official.ts';
import { unroundedArchive } from './rounded-weights.ts';
import type { SolverFile } from './solver-file.ts';

/** The two files of a model folder. */
export const CONFIG_FILE = 'config.json';
export const WEIGHTS_FILE = 'model.safetensors';

/** A model whose weights are still in its file. */
export interface StoredModel {
  readonly config: AcditConfig;
  readonly archive: TensorArchive;
  /** `int8` if its weights are stored in 8 bits, and so are best multiplied in them. */
  readonly precision?: 'int8';
  /**
   * Reads the solver that `acdit tune` fitted to the model.
   * @throws {CheckpointError} if there is none, it is damaged, or was made for another model
   */
  readonly tunedSolver?: (signal?: AbortSignal) => Promise<SolverFile>;
  /** Reads the solver in the model's folder without its weights, to describe it: it may be that of other weights. */
  readonly describedSolver?: () => Promise<SolverFile | undefined>;
  /** Returns the path of the autoencoder that the training in the model's folder used (`output.vae`), if it records one. */
  readonly runAutoencoder?: () => Promise<string | undefined>;
}

/**
 * Open a model without reading its weights, wherever its bytes are.
 * @param weights a `.safetensors` file, or an official `.pt`.
 * @param configText the `config.json` next to a `.safetensors` file; an official `.pt` has none.
 * @throws {CheckpointError} if it is not an ACDiT; {FormatError} if the file is damaged. `weights` is closed then.
 */
export function openSource(weights: ByteSource, configText?: string): Promise<StoredModel> {
  const { name } = weights;
  return closingOnError(weights, async () => {
    if (configText === undefined)
      return checkedModel(name, openOfficial(await openTorchCheckpoint(weights), name));
    const config = parseConfig(configText, CONFIG_FILE);
    return checkedModel(name, { config, archive: await openSafetensors(weights) });
  });
}

/** @throws {CheckpointError} if tensors are missing, unknown, or of other shapes than the configuration says. */
export function checkedModel(name: string, model: StoredModel): StoredModel {
  const { config } = model;
  const archive = unroundedArchive(model.archive);
  try {
    checkWeights(config, new Map(archive.names.map((tensor) => [tensor, archive.info(tensor).shape])));
  } catch (cause) {
    throw new CheckpointError(`${name}: ${(cause as Error).message}`, { cause });
  }
  return archive === model.archive ? model : { config, archive, precision: 'int8' };
}

/** Read all weights as float32. @param onProgress gets the share read so far, 0 to 1. */
export async function readWeights(
  { config, archive }: StoredModel,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (share: number) => void } = {},
): Promise<Weights> {
  const names = [...parameters(config).keys()];
  const weights = new Map<string, Tensor<'float32'>>();
  for (const [i, name] of names.entries()) {
    signal?.throwIfAborted();
    weights.set(name, toFloat32(await archive.read(name)));
    onProgress?.((i + 1) / names.length);
  }
  return weights;
}

/** Reads single weights as float32 while the model is open: what a sampler loads a model from. */
export function weightSource({ archive, precision }: StoredModel): {
  (name: string, room?: Uint8Array): Promise<Tensor<'float32'>>;
  /** Returns where a weight is on disk, if the bytes there are its float32 values. */
  placeOf(name: string): FilePlace | undefined;
} {
  const read = async (name: string, room?: Uint8Array) => toFloat32(await archive.read(name, room));
  return Object.assign(read, {
    placeOf(name: string) {
      if (precision === 'int8' || archive.info(name).dtype !== 'float32') return undefined;
      const place = archive.placeOf?.(name);
      // A program reads them from a file only where they are aligned.
      return place && place.offset % bytesPerElement('float32') === 0 ? place : undefined;
    },
  });
}
