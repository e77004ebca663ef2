/** @file `acdit convert`: a model from one kind of file to another. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname } from 'node:path';
import { CONFIG_FILE, type StoredModel } from '../checkpoints/load.ts';
import { officialArguments, officialLimits, saveOfficial } from '../checkpoints/official-writer.ts';
import { onnxDataPath, saveOnnx } from '../checkpoints/onnx-writer.ts';
import { type StoredWeights, saveModel, storedAs } from '../checkpoints/save.ts';
import { ArgumentError } from '../errors.ts';
import { byteCount } from '../formats/safetensors.ts';
import type { LazyTensor } from '../formats/tensor-archive.ts';
import { writeFolderAtomically } from '../io/atomic-write.ts';
import { parameters } from '../models/acdit/weights.ts';
import type { FloatType } from '../tensor/convert.ts';
import { checkpointFlags, openChosenModel } from './checkpoint-flags.ts';
import { type CommandContext, defineCommand } from './command.ts';
import type { Flags, FlagValues } from './flags.ts';
import { modelPath } from './model-path.ts';
import { occupied, overwriteFlags } from './overwrite.ts';
import { formatDuration } from './progress.ts';
import { choice } from './values.ts';

const DTYPES = { fp32: 'float32', fp16: 'float16', bf16: 'bfloat16' } as const;
const DTYPE_NAMES = ['fp32', 'fp16', 'bf16'] as const satisfies (keyof typeof DTYPES)[];

const convertFlags = {
  dtype: {
    value: 'NAME',
    parse: choice(DTYPE_NAMES),
    help: 'storage type of the weights: fp32, fp16 or bf16; .onnx is always fp32 (default: as in IN)',
  },
  ...checkpointFlags,
  ...overwriteFlags,
  quiet: { help: 'no progress' },
  json: { help: 'print events as JSON lines, without a progress bar' },
} as const satisfies Flags;

type ConvertValues = FlagValues<typeof convertFlags>;

export const convertCommand = defineCommand({
  name: 'convert',
  positionals: ['IN', 'OUT'],
  summary:
    'Convert a model. IN is a model folder, its .safetensors, an official checkpoint (.pt), or a model of the Hugging\n' +
    'Face Hub. What OUT becomes is told by its name: NAME.pt a checkpoint for the official code, NAME.onnx a program\n' +
    'for ONNX Runtime, with NAME.onnx.data beside it, and any other name a model folder. The path of OUT is printed\n' +
    'last.',
  flags: convertFlags,
  run: async ({ values, positionals }, context) => {
    const [from, to] = positionals;
    if (from === undefined || to === undefined) {
      throw new ArgumentError('convert needs IN and OUT: acdit convert ACDiT-XL-img.pt ACDiT-XL-img');
    }
    return convert(from, to, values, context);
  },
});

type Kind = 'folder' | 'pt' | 'onnx';

async function convert(
  from: string,
  to: string,
  values: ConvertValues,
  context: CommandContext,
): Promise<undefined> {
  const kind = kindOf(to);
  const dtype = dtypeOf(values, kind);
  await requireFree(to, kind, values.overwrite);
  const model = await openChosenModel(await modelPath(from, context), values);
  try {
    if (kind === 'pt') officialArguments(model.config); // fails before anything is written
    await write(model, { from, to, kind, dtype }, context);
  } finally {
    await model.archive.close();
  }
}

function kindOf(path: string): Kind {
  const extension = extname(path).toLowerCase();
  if (extension === '.pt' || extension === '.onnx') return extension.slice(1) as Kind;
  // A folder may be called v1.5, but hardly x.ckpt.
  if (path.endsWith('/') || !/^\.[a-z]+$/.test(extension)) return 'folder';
  throw new ArgumentError(
    `cannot write '${extension}' files; OUT must end in .pt or .onnx, or be a folder (then end it with /)`,
  );
}

function dtypeOf({ dtype }: ConvertValues, kind: Kind): FloatType | undefined {
  if (dtype === undefined) return kind === 'onnx' ? 'float32' : undefined;
  const chosen = DTYPES[dtype];
  if (kind === 'onnx' && chosen !== 'float32') {
    throw new ArgumentError(`--dtype ${dtype} does not go with .onnx, whose program computes in fp32`);
  }
  return chosen;
}

/** @throws {ArgumentError} if something is at `path` that may not be replaced, or there is no folder around it. */
async function requireFree(path: string, kind: Kind, overwrite: boolean): Promise<void> {
  const parent = await stat(dirname(path)).catch(() => undefined);
  if (!parent?.isDirectory()) {
    throw new ArgumentError(
      `there is no folder ${dirname(path)} to put ${basename(path)} into; create it first`,
    );
  }
  const files = kind === 'onnx' ? [path, onnxDataPath(path)] : [path];
  for (const file of files) {
    const found = await stat(file).catch(() => undefined);
    if (!found) continue;
    if (found.isDirectory() !== (kind === 'folder')) {
      const what = found.isDirectory() ? 'a folder' : 'a file';
      throw new ArgumentError(`${file} exists and is ${what}; give another name`);
    }
    if (kind === 'folder') await requireModelFolder(file);
    if (!overwrite && !(kind === 'folder' && (await readdir(file)).length === 0)) {
      throw occupied(file);
    }
  }
}

/** Files of a model are not put among others. */
async function requireModelFolder(folder: string): Promise<void> {
  const files = await readdir(folder);
  if (files.length === 0 || files.includes(CONFIG_FILE)) return;
  throw new ArgumentError(`${folder} exists and holds other files than a model's; give another name`);
}

interface Job {
  readonly from: string;
  readonly to: string;
  readonly kind: Kind;
  readonly dtype: FloatType | undefined;
}

async function write(
  model: StoredModel,
  { from, to, kind, dtype }: Job,
  { report, signal }: CommandContext,
): Promise<void> {
  const total = parameters(model.config).size;
  const progress = report.progress({ total, label: 'convert', unit: 'tensor' });
  const weights = lazyWeights(model, (done) => progress.update(done));
  const stored = dtype ? storedAs(weights, dtype) : weights;
  const bytes = [...stored.values()].reduce((sum, info) => sum + byteCount(info), 0);
  const notes = kind === 'pt' ? officialLimits(model.config) : [];
  const started = performance.now();
  report.emit({ kind: 'start', from, to, format: kind, tensors: total, bytes });
  try {
    await writeAs(kind, to, model, stored, signal);
  } finally {
    progress.finish();
  }
  const seconds = (performance.now() - started) / 1000;
  report.emit({ kind: 'done', to, format: kind, tensors: total, bytes, notes, seconds });
  for (const note of notes) report.say(`note: to load it with the official code: ${note}`);
  report.say(`${total} tensors, ${(bytes / 1e6).toFixed(1)} MB, in ${formatDuration(seconds)}`);
  report.print(to);
}

/** The weights in their official order, each still in its file. @param onRead gets how many were read. */
function lazyWeights({ config, archive }: StoredModel, onRead: (done: number) => void): StoredWeights {
  let done = 0;
  return new Map(
    [...parameters(config).keys()].map((name): [string, LazyTensor] => [
      name,
      {
        ...archive.info(name),
        async read() {
          const value = await archive.read(name);
          onRead(++done);
          return value;
        },
      },
    ]),
  );
}

async function writeAs(
  kind: Kind,
  path: string,
  { config, archive }: StoredModel,
  weights: StoredWeights,
  signal: AbortSignal,
): Promise<void> {
  if (kind === 'pt') return saveOfficial(path, config, weights, signal);
  if (kind === 'onnx') return saveOnnx(path, config, weights, signal);
  const save = (folder: string): Promise<void> =>
    saveModel(folder, config, weights, { metadata: archive.metadata, signal });
  const isThere = await stat(path).catch(() => undefined);
  return isThere ? save(path) : writeFolderAtomically(path, save);
}
