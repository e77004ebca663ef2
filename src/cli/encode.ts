/** @file `acdit encode`: a dataset of images or videos to the latents that models of latents are trained on. */

import { ArgumentError } from '../errors.ts';
import { encodeDataset } from '../runs/encode.ts';
import { defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import type { Flags } from './flags.ts';
import { pixelFlags } from './pixel-flags.ts';
import { choice, wholeNumber } from './values.ts';

const DTYPES = { fp16: 'float16', fp32: 'float32' } as const;

const encodeFlags = {
  vae: {
    value: 'DIR',
    help: 'autoencoder: a diffusers folder, or owner/repo/folder of the Hugging Face Hub',
    aliases: ['vae_path'],
  },
  size: {
    value: 'N',
    parse: wholeNumber(),
    default: '256',
    help: 'side of the square that each image or frame is cropped to, around its centre',
  },
  video: { help: 'DATA is videos: one folder per class, or UCF-101 with its lists' },
  fold: {
    value: 'N',
    parse: choice(['1', '2', '3']),
    help: 'pair of lists of UCF-101: 1, 2 or 3 (default: 1)',
  },
  split: {
    value: 'NAME',
    parse: choice(['train', 'test']),
    default: 'train',
    help: 'train (also a folder without splits) or test',
  },
  'exif-orientation': {
    help: 'turn images upright by their EXIF orientation (default: pixels as stored)',
  },
  ...pixelFlags,
  'no-flip': { help: 'leave out the mirrored images: half the time and half the disk' },
  dtype: { value: 'NAME', parse: choice(['fp16', 'fp32']), default: 'fp16', help: 'fp16 or fp32' },
  'shard-size': {
    value: 'N',
    parse: wholeNumber(),
    help: 'images or videos per file, the most work that a kill loses (default: 512 images, 8 videos)',
  },
  ...deviceFlags,
  quiet: { help: 'no progress' },
  json: { help: 'print events as JSON lines, without a progress bar' },
} as const satisfies Flags;

export const encodeCommand = defineCommand({
  name: 'encode',
  positionals: ['DATA', 'OUT'],
  summary:
    'Encode images or videos to latents for `acdit train --data OUT`. DATA has one folder of images (or with --video, of\n' +
    'videos) per class, or IDX files. The same command resumes if it is interrupted. The path of the latents is printed\n' +
    'last.',
  flags: encodeFlags,
  run: async ({ values, positionals }, context) => {
    const [data, out] = positionals;
    if (data === undefined || out === undefined) {
      throw new ArgumentError('encode needs DATA and OUT: acdit encode images latents --vae DIR');
    }
    const { vae, dtype, fold } = values;
    if (vae === undefined)
      throw new ArgumentError('encode needs an autoencoder: give its folder with --vae DIR');
    const device = await openDevice(values);
    try {
      const { folder } = await encodeDataset({
        ...values,
        ...context,
        data,
        out,
        vae,
        device,
        dtype: DTYPES[dtype],
        fold: fold === undefined ? undefined : Number(fold),
        flips: !values['no-flip'],
        exifOrientation: values['exif-orientation'],
        maxPixels: values['max-pixels'],
        shardSize: values['shard-size'],
      });
      context.report.print(folder);
    } finally {
      await device.dispose();
    }
    return undefined;
  },
});
