/** @file `acdit sample`: images or videos from a model. */

import { readFile } from 'node:fs/promises';
import { DEFAULT_MODELS } from '../checkpoints/bundled-names.ts';
import { solverChoices } from '../diffusion/solvers/index.ts';
import { TIMESTEP_SPACINGS } from '../diffusion/timesteps.ts';
import { onEach } from '../distributed/agree.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError } from '../errors.ts';
import { parseNpy } from '../formats/npy.ts';
import { closingAfter } from '../io/byte-source.ts';
import { printable } from '../io/printable.ts';
import { VIDEO_FORMATS } from '../media/video-writer.ts';
import { PRESETS } from '../models/acdit/config.ts';
import { didYouMean } from '../nearest.ts';
import { sample } from '../runs/sample.ts';
import { DEFAULT_FPS } from '../runs/sample-files.ts';
import { type SampleNpzOptions, sampleNpz } from '../runs/sample-npz.ts';
import { DEFAULT_SEED } from '../sampling/request.ts';
import { DEFAULT_STEPS, type Timesteps } from '../sampling/settings.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { requireFinite } from '../tensor/finite.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type CommandArguments, type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice, precisionFlag } from './device.ts';
import {
  choiceFlag,
  countFlag,
  type Flags,
  type FlagValues,
  fileFlag,
  list,
  perBlock,
  realNumber,
  wholeNumber,
} from './flags.ts';
import { guidanceFlags, guidanceOptions } from './guidance-flags.ts';
import { onRanks, rankFlags } from './ranks.ts';
import {
  checkpointFlags,
  namedOrBundled,
  openChosenModel,
  overwriteFlags,
  partFlags,
} from './shared-flags.ts';

const sampleFlags = {
  labels: {
    value: 'LIST',
    help: 'classes by name or number: cat,7,"a, b"; or one per block: 3/3/7/7 (default: all, or 8 of more than 20)',
  },
  'per-class': countFlag('samples of each label (default: 1, 8 without --labels)'),
  count: countFlag('samples in all, divided among the labels; with --npz, labels are drawn at random'),
  preset: choiceFlag(
    PRESETS,
    "exact, or fast: the solver of acdit tune, with its steps and guidance (default: the model's own, else exact)",
  ),
  steps: {
    value: 'N',
    parse: perBlock(wholeNumber()),
    help: `solver steps per block, or a number for each block: 25/10/10/10 (default: the preset's; exact: ${DEFAULT_STEPS})`,
    aliases: ['sample_step'],
  },
  timesteps: {
    value: 'LIST',
    parse: timestepList,
    help: "uniform, logsnr (evenly spaced in log signal-to-noise), or a list: 999,700,400,100 (default: the preset's; exact: uniform)",
  },
  ...guidanceFlags,
  seed: countFlag('random seed of the noise', {
    minimum: 0,
    default: DEFAULT_SEED,
    aliases: ['global_seed'],
  }),
  solver: choiceFlag(
    solverChoices,
    `${solverChoices.join(', ')}; tuned is made by acdit tune (default: the preset's; exact: the first, or euler for flow models)`,
  ),
  out: { value: 'DIR', default: 'samples', help: 'folder of the images or videos', aliases: ['save_dir'] },
  continue: { value: 'PATH', help: 'continue the first blocks of an image, a video, or a folder of frames' },
  keep: countFlag('blocks that --continue keeps (default: all but one)', { value: 'K' }),
  blocks: countFlag(
    "blocks of a video; if more than in training, blocks attend to a sliding window (default: the model's own)",
  ),
  window: countFlag('max finished blocks that each block attends to (default: as many as in training)'),
  'context-noise': countFlag(
    'timestep up to which finished blocks are noised before others attend to them; 0: none (default: as in training)',
    { minimum: 0 },
  ),
  format: choiceFlag(
    VIDEO_FORMATS,
    `video format: ${VIDEO_FORMATS.join(', ')}; png is a folder of frames (default: mp4)`,
  ),
  fps: {
    value: 'X',
    parse: realNumber('above 0', (value) => value > 0),
    help: `frames per second of videos (default: ${DEFAULT_FPS})`,
  },
  noise: { value: 'F.npy', help: 'starting noise (N, T, B, C), instead of the seed' },
  latents: fileFlag('.npy', 'write the final latents (N, T, B, C)'),
  'no-decode': { help: 'write latents only, by default to latents.npy in --out' },
  vae: {
    value: 'DIR',
    help: 'autoencoder of a model of latents: a diffusers folder, or a name on the Hugging Face Hub',
    aliases: ['vae_path'],
  },
  batch: countFlag('batch size (default: 16, 32 with --npz, fewer if the cache would exceed 1 GB)'),
  npz: fileFlag(
    '.npz',
    'write one file for acdit evaluate: arr_0 uint8 (N, H, W, 3), arr_1 labels; resumes if interrupted',
  ),
  video: { help: `without MODEL: ${DEFAULT_MODELS.video} instead of ${DEFAULT_MODELS.image}` },
  ckpt: { value: 'FILE', help: 'another way to give MODEL, as in the official scripts' },
  ...checkpointFlags,
  precision: precisionFlag,
  ...partFlags,
  ...overwriteFlags,
  ...deviceFlags,
  ...rankFlags,
  json: { help: 'print what was made as JSON, without a progress bar' },
} as const satisfies Flags;

/** Reads a spacing, or timesteps with commas between them, with slashes between those of blocks. */
function timestepList(text: string, flag: string): Timesteps {
  const spacing = TIMESTEP_SPACINGS.find((name) => name === text);
  if (spacing !== undefined) return spacing;
  if (!/^[\d\s,/]*$/.test(text)) {
    const names = TIMESTEP_SPACINGS.join(', ');
    throw new ArgumentError(
      `--${flag} must be one of ${names}, or timesteps such as 999,700,400,100, got '${printable(text)}'${didYouMean(text, TIMESTEP_SPACINGS)}`,
    );
  }
  const lists = text.split('/').map((part) => list(wholeNumber(0))(part, flag));
  return lists.length === 1 ? (lists[0] ?? []) : lists;
}

type SampleValues = FlagValues<typeof sampleFlags>;

/** Flags that have no effect on an npz file of samples. */
const NOT_WITH_NPZ = ['out', 'continue', 'keep', 'format', 'fps', 'noise', 'latents', 'no-decode'] as const;

export const command = defineCommand({
  name: 'sample',
  positionals: ['[MODEL]'],
  summary:
    'Sample images (PNG) or videos, and write a grid of them, whose path is printed last. MODEL is the name of a bundled\n' +
    'model, a model folder, a .safetensors file in one, an official .pt, or a model of the Hugging Face Hub: ACDiT-XL-img,\n' +
    `owner/repo/file. Without MODEL, ${DEFAULT_MODELS.image} is used; with --video, ${DEFAULT_MODELS.video}.`,
  flags: sampleFlags,
  examples: [
    'acdit sample fashion-mnist --labels sneaker,bag --seed 1',
    'acdit sample --video --labels sneaker --format webp',
    'acdit sample ACDiT-XL-img --labels 207,360 --cfg 1.5',
  ],
  run: (args, context) => onRanks(context, args.values, (own, ranks) => runSample(args, own, ranks)),
});

async function runSample(
  { values, given, positionals }: CommandArguments<typeof sampleFlags>,
  context: CommandContext,
  ranks: Ranks | undefined,
): Promise<void> {
  const name = modelName(positionals[0], values);
  const stray = values.npz !== undefined && NOT_WITH_NPZ.find((flag) => given.has(flag));
  if (stray) throw new ArgumentError(`--${stray} has no part in an --npz file; leave it out`);
  if (values.part && values.npz === undefined) throw new ArgumentError('--part goes with --npz FILE');
  if (ranks && values.npz === undefined) {
    throw new ArgumentError(
      `${ranks.communicator.size} processes were started, and only --npz divides the samples among them`,
    );
  }
  await closingAfter(await openDevice(values), async (device) => {
    const model = await onEach(ranks, () => openChosenModel(name, values, context));
    await closingAfter(model.archive, () =>
      sampleWith({ ...values, ...context, model, device, ranks }, name),
    );
  });
  context.signal.throwIfAborted();
}

function modelName(positional: string | undefined, { ckpt, video }: SampleValues): string {
  if (positional !== undefined && ckpt !== undefined) {
    throw new ArgumentError(`both MODEL (${positional}) and --ckpt (${ckpt}) name a model; give one of them`);
  }
  return namedOrBundled(positional ?? ckpt, video);
}

type ChosenSampling = Omit<SampleValues, 'device'> &
  CommandContext &
  Pick<SampleNpzOptions, 'model' | 'device' | 'ranks'>;

async function sampleWith(values: ChosenSampling, name: string): Promise<void> {
  const options = { ...values, ...guidanceOptions(values) };
  const { npz, noDecode, noise: file, model, report } = options;
  if (npz !== undefined) {
    const result = await sampleNpz({ ...options, npz });
    report.emit({ model: name, ...result });
    if (result.done) report.print(result.file);
    return;
  }
  const decode = noDecode ? false : undefined;
  const noise = file === undefined ? undefined : await readNoise(file);
  const result = await sample({ ...options, decode, noise });
  report.emit({ model: name, ...result });
  const videos = model.config.frames > 1 ? result.samples.map(({ file }) => file) : [];
  for (const path of [result.latents, ...videos, result.grid]) if (path !== undefined) report.print(path);
}

async function readNoise(path: string): Promise<Tensor<'float32'>> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new ArgumentError(`--noise ${path} cannot be read (${cause.code}); give a .npy file`, { cause });
  });
  const noise = toFloat32(parseNpy(bytes, path));
  requireFinite(noise, `--noise ${path}`);
  return noise;
}
