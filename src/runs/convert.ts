/** @file Converts a model from one kind of file to another. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname } from 'node:path';
import { CONFIG_FILE, type StoredModel } from '../checkpoints/load.ts';
import { officialArguments, officialLimits, saveOfficial } from '../checkpoints/official-writer.ts';
import { onnxDataPath, saveOnnx } from '../checkpoints/onnx-writer.ts';
import { type StorageType, type StoredWeights, saveModel, storedAs } from '../checkpoints/save.ts';
import { ArgumentError } from '../errors.ts';
import { byteCount } from '../formats/safetensors.ts';
import type { LazyTensor } from '../formats/tensor-archive.ts';
import { invalidOption } from '../invalid-option.ts';
import { writeFolderAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { formatDuration } from '../io/quantities.ts';
import { parameters } from '../models/acdit/weights.ts';
import { existsError } from './checks.ts';
import { convertTraining } from './convert-training.ts';
import { type NamedModelOptions, openNamedModel } from './model-path.ts';
import { contextOf } from './reporter.ts';

/** What to convert, and into what. */
export interface ConvertModelOptions extends NamedModelOptions {
  /** A model folder, its .safetensors, an official checkpoint (.pt), or a name on the hub. */
  readonly from: string;
  /** NAME.pt is a checkpoint for the official code, NAME.onnx a program for ONNX Runtime, any other name a model folder. */
  readonly to: string;
  /** Storage type of the weights (default: as in `from`); a program for ONNX Runtime is always float32. */
  readonly dtype?: StorageType | undefined;
  /**
   * Convert the whole training, so that it can be resumed: weights, moving average, and AdamW's moments and step; from the
   * folder of a run to a `.pt`, or from a `.pt` to a new folder (default: false).
   */
  readonly training?: boolean | undefined;
  /** Replace a model that exists (default: false). */
  readonly overwrite?: boolean | undefined;
}

/** What was written. */
export interface ConvertModelResult {
  readonly to: string;
  readonly format: ModelFormat;
  readonly tensors: number;
  readonly bytes: number;
  /** What the official code needs besides the file. */
  readonly notes: readonly string[];
  readonly seconds: number;
  /** Steps of the training, if it was converted as a whole. */
  readonly step?: number | undefined;
}

/** The kind of file that a model is written to. */
export type ModelFormat = 'folder' | 'pt' | 'onnx';

/**
 * Converts a model. It emits the events `start` and `done`.
 * @throws {ArgumentError} if the model cannot be stored so, or something that may not be replaced is at `to`;
 * {AcditError} if the model cannot be read or written.
 */
export async function convertModel(options: ConvertModelOptions): Promise<ConvertModelResult> {
  const { from, to, overwrite = false } = options;
  const format = formatOf(to);
  if (options.training) {
    if (format === 'pt') await requireFree(to, format, overwrite);
    return convertTraining({ ...options, format });
  }
  const dtype = dtypeOf(options.dtype, format);
  await requireFree(to, format, overwrite);
  const model = await openNamedModel(from, options);
  return closingAfter(model.archive, async () => {
    if (format === 'pt') officialArguments(model.config); // fails before anything is written
    return write(model, { ...options, format, dtype });
  });
}

function formatOf(path: string): ModelFormat {
  const extension = extname(path).toLowerCase();
  if (extension === '.pt') return 'pt';
  if (extension === '.onnx') return 'onnx';
  // A folder may be called v1.5, but hardly x.ckpt.
  if (path.endsWith('/') || !/^\.[a-z]+$/.test(extension)) return 'folder';
  throw new ArgumentError(
    `cannot write '${extension}' files; OUT must end in .pt or .onnx, or be a folder (then end it with /)`,
  );
}

function dtypeOf(dtype: StorageType | undefined, format: ModelFormat): StorageType | undefined {
  if (dtype === 'int8' && format !== 'folder') {
    throw invalidOption('dtype', 'int8 goes with a model folder only, which no other program reads');
  }
  if (format !== 'onnx') return dtype;
  if (dtype === undefined || dtype === 'float32') return 'float32';
  throw invalidOption('dtype', `${dtype} does not go with .onnx, whose program computes in fp32`);
}

/** @throws {ArgumentError} if something is at `path` that may not be replaced, or there is no folder around it. */
async function requireFree(path: string, format: ModelFormat, overwrite: boolean): Promise<void> {
  const parent = await stat(dirname(path)).catch(() => undefined);
  if (!parent?.isDirectory()) {
    throw new ArgumentError(
      `there is no folder ${dirname(path)} to put ${basename(path)} into; create it first`,
    );
  }
  const files = format === 'onnx' ? [path, onnxDataPath(path)] : [path];
  for (const file of files) {
    const found = await stat(file).catch(() => undefined);
    if (!found) continue;
    if (found.isDirectory() !== (format === 'folder')) {
      const what = found.isDirectory() ? 'a folder' : 'a file';
      throw new ArgumentError(`${file} exists and is ${what}; give another name`);
    }
    const contents = format === 'folder' ? await readdir(file) : undefined;
    if (contents?.length === 0) continue;
    if (contents && !contents.includes(CONFIG_FILE)) {
      throw new ArgumentError(`${file} exists and holds other files than a model's; give another name`);
    }
    if (!overwrite) throw existsError(file);
  }
}

async function write(
  model: StoredModel,
  { from, to, format, dtype, ...options }: ConvertModelOptions & { readonly format: ModelFormat },
): Promise<ConvertModelResult> {
  const { report, signal } = contextOf(options);
  // Where it is written, there is no solver for the preset fast.
  const { preset: _, ...config } = model.config;
  const total = parameters(config).size;
  const progress = report.progress({ total, label: 'convert', unit: 'tensor' });
  const weights = lazyWeights(model, (done) => progress.update(done));
  const stored = dtype ? storedAs(weights, dtype) : weights;
  const bytes = [...stored.values()].reduce((sum, info) => sum + byteCount(info), 0);
  const notes = format === 'pt' ? officialLimits(config) : [];
  const started = performance.now();
  report.emit({ kind: 'start', from, to, format, tensors: total, bytes });
  try {
    const save = (folder: string): Promise<void> =>
      saveModel(folder, config, stored, { metadata: model.archive.metadata, signal });
    if (format === 'pt') await saveOfficial(to, config, stored, signal);
    else if (format === 'onnx') await saveOnnx(to, config, stored, signal);
    else if (await stat(to).catch(() => undefined)) await save(to);
    else await writeFolderAtomically(to, save);
  } finally {
    progress.finish();
  }
  const seconds = (performance.now() - started) / 1000;
  const result = { to, format, tensors: total, bytes, notes, seconds };
  report.emit({ kind: 'done', ...result });
  for (const note of notes) report.say(`note: to load it with the official code: ${note}`);
  report.say(`${total} tensors, ${(bytes / 1e6).toFixed(1)} MB, in ${formatDuration(seconds)}`);
  return result;
}

/** The weights in their official order, each still in its file. @param onRead gets how many were read. */
function lazyWeights({ config, archive }: StoredModel, onRead: (done: number) => void): StoredWeights {
  const read = new Set<string>();
  return new Map(
    [...parameters(config).keys()].map((name): [string, LazyTensor] => [
      name,
      {
        ...archive.info(name),
        async read() {
          const value = await archive.read(name);
          onRead(read.add(name).size);
          return value;
        },
      },
    ]),
  );
}
