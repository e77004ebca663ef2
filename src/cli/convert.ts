/** @file `acdit convert`: a model from one kind of file to another. */

import { ArgumentError } from '../errors.ts';
import { convertModel } from '../runs/convert.ts';
import { defineCommand } from './command.ts';
import { choiceFlag, type Flags } from './flags.ts';
import { checkpointFlags, openOptions, overwriteFlags, reportFlags } from './shared-flags.ts';

const DTYPES = { fp32: 'float32', fp16: 'float16', bf16: 'bfloat16', int8: 'int8' } as const;
const DTYPE_NAMES = ['fp32', 'fp16', 'bf16', 'int8'] as const satisfies (keyof typeof DTYPES)[];

const convertFlags = {
  dtype: choiceFlag(
    DTYPE_NAMES,
    'storage type of the weights: fp32, fp16, bf16 or int8; .onnx is always fp32 (default: as in IN)',
  ),
  training: {
    help: 'convert a whole training, with the state of AdamW: a run to NAME.pt, or a PyTorch checkpoint to a run',
  },
  ...checkpointFlags,
  ...overwriteFlags,
  ...reportFlags,
} as const satisfies Flags;

export const command = defineCommand({
  name: 'convert',
  positionals: ['IN', 'OUT'],
  summary:
    'Convert a model. IN is a model folder, its .safetensors, an official checkpoint (.pt), or a model of the Hugging\n' +
    'Face Hub. The name of OUT decides its format: NAME.pt is a checkpoint for the official code, NAME.onnx a program\n' +
    'for ONNX Runtime (with NAME.onnx.data next to it), and any other name a model folder. The path of OUT is printed\n' +
    'last.',
  flags: convertFlags,
  examples: [
    'acdit convert ACDiT-XL-img.pt ACDiT-XL-img',
    'acdit convert runs/mine mine-int8 --dtype int8',
    'acdit convert runs/mine mine.onnx',
    'acdit convert runs/mine mine.pt --training',
  ],
  run: async ({ values, positionals }, context) => {
    const [from, to] = positionals;
    if (from === undefined || to === undefined) {
      throw new ArgumentError('convert needs IN and OUT: acdit convert ACDiT-XL-img.pt ACDiT-XL-img');
    }
    const { overwrite, dtype, training } = values;
    await convertModel({
      ...openOptions(values),
      ...context,
      from,
      to,
      training,
      overwrite,
      dtype: dtype === undefined ? undefined : DTYPES[dtype],
    });
    context.report.print(to);
  },
});
