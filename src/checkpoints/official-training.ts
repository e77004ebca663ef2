/** @file Training checkpoints of PyTorch programs: weights, their moving average and the state of AdamW. */

import { z } from 'zod';
import { CheckpointError } from '../errors.ts';
import type { Metadata, TensorArchive } from '../formats/tensor-archive.ts';
import { openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { closingOnError } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { parseJsonOf } from '../io/json.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type AdamWState, readAdamW } from './adamw-state.ts';
import { argumentsOf, hasAverage, openOfficial, RUN_ARGUMENT, withoutWrapper } from './official.ts';
import type { CheckpointLayout } from './official-config.ts';
import { checkedModel } from './stored-model.ts';

/** A training whose tensors are still in its file. */
export interface OfficialTraining {
  readonly config: AcditConfig;
  readonly weights: TensorArchive;
  /** Their moving average; undefined if the checkpoint holds none. */
  readonly ema: TensorArchive | undefined;
  readonly optimizer: AdamWState;
  /** What acdit recorded of the run, if it began there. */
  readonly run: Metadata | undefined;
  /** Closes the file. */
  close(): Promise<void>;
}

/**
 * Opens the training in a checkpoint of `torch.save`.
 * @throws {CheckpointError} if it is not the training of an ACDiT, or acdit cannot continue it (see {@link readAdamW});
 * {FormatError} if it is damaged.
 */
export async function openOfficialTraining(
  path: string,
  layout: CheckpointLayout,
): Promise<OfficialTraining> {
  const checkpoint = await openTorchCheckpoint(await openFile(path));
  return closingOnError(checkpoint, async () => {
    const { value } = checkpoint;
    const open = (weights: 'model' | 'ema') =>
      checkedModel(path, openOfficial(checkpoint, path, { weights, layout }));
    const { config, archive } = open('model');
    if (!(value instanceof Map)) throw new CheckpointError(`${path}: expected a dict`); // which has been checked
    const shapes = new Map(archive.names.map((name) => [name, archive.info(name).shape]));
    const text = argumentsOf(value).get(RUN_ARGUMENT);
    return {
      config,
      weights: archive,
      ema: hasAverage(value) ? open('ema').archive : undefined,
      optimizer: await readAdamW(value, shapes, withoutWrapper, path),
      run: typeof text === 'string' ? parseRun(text, path) : undefined,
      close: () => checkpoint.close(),
    };
  });
}

function parseRun(text: string, path: string): Metadata {
  const schema = z.record(z.string(), z.string());
  return parseJsonOf(
    text,
    `${path}: args.${RUN_ARGUMENT}`,
    schema,
    'not what acdit recorded',
    CheckpointError,
  );
}
