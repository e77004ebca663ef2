/** @file `acdit encode`: a dataset of images or videos to the latents that models of latents are trained on. */

import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError } from '../errors.ts';
import { closingAfter } from '../io/byte-source.ts';
import { encodeDataset } from '../runs/encode.ts';
import { type CommandArguments, type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import { choiceFlag, countFlag, type Flags } from './flags.ts';
import { onRanks, rankFlags } from './ranks.ts';
import { partFlags, pixelFlags, reportFlags } from './shared-flags.ts';

const DTYPES = { fp16: 'float16', fp32: 'float32' } as const;

const encodeFlags = {
  vae: {
    value: 'DIR',
    help: 'autoencoder: a diffusers folder, or owner/repo/folder of the Hugging Face Hub',
    aliases: ['vae_path'],
  },
  size: countFlag('side of the square that each image or frame is cropped to, around its centre', {
    default: 256,
  }),
  video: { help: 'DATA is videos: one folder per class, or UCF-101 with its lists' },
  fold: choiceFlag(['1', '2', '3'], 'pair of lists of UCF-101: 1, 2 or 3 (default: 1)', { value: 'N' }),
  split: choiceFlag(['train', 'test'], 'train (also a folder without splits) or test', { default: 'train' }),
  'exif-orientation': { help: 'turn images upright by their EXIF orientation (default: pixels as stored)' },
  ...pixelFlags,
  'no-flip': { help: 'leave out the mirrored images: half the time and half the disk' },
  dtype: choiceFlag(['fp16', 'fp32'], 'fp16 or fp32', { default: 'fp16' }),
  'shard-size': countFlag(
    'images or videos per file, the most work that a kill loses (default: 512 images, 8 videos)',
  ),
  ...partFlags,
  ...deviceFlags,
  ...rankFlags,
  ...reportFlags,
} as const satisfies Flags;

export const command = defineCommand({
  name: 'encode',
  positionals: ['DATA', 'OUT'],
  summary:
    'Encode images or videos to latents for `acdit train --data OUT`. DATA has one folder of images (or with --video, of\n' +
    'videos) per class, or IDX files. The same command resumes if it is interrupted. The path of the latents is printed\n' +
    'last.',
  flags: encodeFlags,
  examples: [
    'acdit encode images latents --vae facebook/DiT-XL-2-256/vae',
    'acdit encode UCF-101 latents --vae vae --video --split train',
  ],
  run: (args, context) => onRanks(context, args.values, (own, ranks) => runEncode(args, own, ranks)),
});

async function runEncode(
  { values, positionals }: CommandArguments<typeof encodeFlags>,
  context: CommandContext,
  ranks: Ranks | undefined,
): Promise<void> {
  const [data, out] = positionals;
  if (data === undefined || out === undefined) {
    throw new ArgumentError('encode needs DATA and OUT: acdit encode images latents --vae DIR');
  }
  const { vae, dtype, fold } = values;
  if (vae === undefined) {
    throw new ArgumentError('encode needs an autoencoder: give its folder with --vae DIR');
  }
  await closingAfter(await openDevice(values), async (device) => {
    const { folder } = await encodeDataset({
      ...values,
      ...context,
      data,
      out,
      vae,
      device,
      dtype: DTYPES[dtype],
      fold: fold === undefined ? undefined : Number(fold),
      flips: !values.noFlip,
      ranks,
    });
    context.report.print(folder);
  });
}
