/** @file Converts a whole training: the folder of a run into a checkpoint that PyTorch resumes from, and back. */

import { readdir, stat } from 'node:fs/promises';
import { ArgumentError } from '../errors.ts';
import { invalidOption } from '../invalid-option.ts';
import { formatDuration } from '../io/quantities.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameterCount, parameters } from '../models/acdit/weights.ts';
import { exportTraining, importTraining } from '../training/torch-training.ts';
import { modelPath, type NamedModelOptions } from './model-path.ts';
import { contextOf, type Progress } from './reporter.ts';

/** What to convert, and into what. */
export interface ConvertTrainingOptions extends NamedModelOptions {
  readonly from: string;
  readonly to: string;
  /** Kind of file that `to` is. */
  readonly format: 'folder' | 'pt' | 'onnx';
  /** Must not be given. */
  readonly dtype?: string | undefined;
}

/** Weights, moving average and two moments. */
const PARTS = 4;
const FLOAT = 4;

/**
 * Converts a whole training. It emits the events `start` and `done`.
 * @throws {ArgumentError} if the conversion is not one of a run's folder to a `.pt` or back; {AcditError} if the training
 * cannot be read or written.
 */
export async function convertTraining(options: ConvertTrainingOptions) {
  const { from, to, format, dtype, weights, layout = {} } = options;
  if (dtype !== undefined) throw invalidOption('dtype', 'does not go with a whole training, which is fp32');
  if (weights !== undefined)
    throw invalidOption('weights', 'does not go with a whole training, which has both');
  const context = contextOf(options);
  const { report, signal } = context;
  const path = await modelPath(from, context);
  await requirePair(path, to, format);
  const started = performance.now();
  const read = new Set<string>();
  let progress: Progress | undefined;
  const size = { tensors: 0, bytes: 0 };
  const onModel = (config: AcditConfig): void => {
    size.tensors = PARTS * parameters(config).size;
    size.bytes = PARTS * FLOAT * parameterCount(config);
    report.emit({ kind: 'start', from, to, format, ...size });
    progress = report.progress({ total: size.tensors, label: 'convert', unit: 'tensor' });
  };
  const onTensor = (name: string): void => progress?.update(read.add(name).size);
  const hooks = { onModel, onTensor, signal };
  const convert = format === 'pt' ? exportTraining(path, to, hooks) : importTraining(path, to, layout, hooks);
  const { step, notes } = await convert.finally(() => progress?.finish());
  const seconds = (performance.now() - started) / 1000;
  const result = { to, format, ...size, notes, seconds, step };
  report.emit({ kind: 'done', ...result });
  const about = format === 'pt' ? 'note: to load it with the official code: ' : 'note: ';
  for (const note of notes) report.say(about + note);
  report.say(
    `the training at step ${step}, ${(size.bytes / 1e6).toFixed(1)} MB, in ${formatDuration(seconds)}`,
  );
  return result;
}

/** @throws {ArgumentError} if a training cannot be converted from `path` to `to`. */
async function requirePair(path: string, to: string, format: string): Promise<void> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  if (format === 'onnx' || isFolder !== (format === 'pt')) {
    throw new ArgumentError(
      `--training converts the folder of a run to NAME.pt, or a training checkpoint of PyTorch to a folder, not ${path} to ${to}`,
    );
  }
  const found = isFolder ? undefined : await stat(to).catch(() => undefined);
  if (!found || (found.isDirectory() && (await readdir(to)).length === 0)) return;
  throw new ArgumentError(`${to} exists; a training is written to a new folder only, so give another name`);
}
