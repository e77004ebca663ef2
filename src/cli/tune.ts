/** @file `acdit tune`: fits a solver to a model. */

import { ArgumentError } from '../errors.ts';
import { closingAfter } from '../io/byte-source.ts';
import { FASHION_MNIST, I3D, INCEPTION } from '../runs/feature-network.ts';
import { modelPath } from '../runs/model-path.ts';
import { REFERENCE_STEPS, TUNED_STEPS, TUNING_SAMPLES, TUNING_SEED, tuneModel } from '../runs/tune.ts';
import { type GuidanceSearch, SEARCH_SAMPLES } from '../runs/tune-guidance.ts';
import { defineCommand } from './command.ts';
import { deviceFlags, openDevice, precisionFlag } from './device.ts';
import { countFlag, type Flags, type FlagValues, list, wholeNumber } from './flags.ts';
import { guidanceFlags, guidanceOptions } from './guidance-flags.ts';
import {
  checkpointFlags,
  namedOrBundled,
  openChosenModel,
  overwriteFlags,
  reportFlags,
} from './shared-flags.ts';

const tuneFlags = {
  steps: {
    value: 'LIST',
    parse: list(wholeNumber(2)),
    help: `numbers of solver steps per block to fit (default: ${TUNED_STEPS.join()})`,
  },
  'default-steps': countFlag('steps that are used by default (default: 8, or the nearest in --steps)'),
  ...guidanceFlags,
  network: {
    value: 'NAME',
    help: `search guidance by this network's features: ${INCEPTION}, ${I3D}, ${FASHION_MNIST} or a classifier's folder`,
  },
  reference: {
    value: 'PATH',
    help: 'images or videos that --network compares with, as acdit evaluate takes them',
  },
  'search-samples': countFlag('samples per guidance that is tried', { minimum: 2, default: SEARCH_SAMPLES }),
  inception: { value: 'FILE', help: 'weights of the Inception network: .pth, .pb or .safetensors' },
  i3d: { value: 'FILE', help: 'weights of I3D for videos: .pt or .safetensors' },
  vae: { value: 'DIR', help: 'autoencoder of a model of latents, for --network' },
  samples: countFlag('samples to fit to; as many again choose and measure', {
    minimum: 2,
    default: TUNING_SAMPLES,
  }),
  'reference-steps': countFlag('steps of the exact solution', { minimum: 2, default: REFERENCE_STEPS }),
  seed: countFlag("random seed of the samples' noise", { minimum: 0, default: TUNING_SEED }),
  batch: countFlag('samples per pass (default: 16, fewer if the cache would exceed 1 GB)'),
  video: { help: 'without MODEL: the bundled video model' },
  ...checkpointFlags,
  precision: precisionFlag,
  ...overwriteFlags,
  ...deviceFlags,
  ...reportFlags,
} as const satisfies Flags;

/** @throws {ArgumentError} if only one of network and reference is given. */
function searchOptions(values: FlagValues<typeof tuneFlags>): GuidanceSearch | undefined {
  const { network, reference, inception, i3d, vae, searchSamples } = values;
  if (network === undefined && reference === undefined) return undefined;
  if (network === undefined || reference === undefined) {
    throw new ArgumentError('searching guidance takes both --network NAME and --reference PATH');
  }
  return { network, reference, inception, i3d, vae, searchSamples };
}

export const command = defineCommand({
  name: 'tune',
  positionals: ['[MODEL]'],
  summary:
    'Fit a solver to a model, so that a few steps per block come close to the exact solution. It is written to solver.json\n' +
    'in the model folder (for a .pt or a model of the Hugging Face Hub: in a cache folder), whose path is printed last, and\n' +
    'used by acdit sample --solver tuned. The same command resumes if it is interrupted.',
  flags: tuneFlags,
  examples: [
    'acdit tune runs/my-model',
    'acdit tune runs/my-model --steps 6,8,10 --cfg 2.3 --guidance-interval -3.4,1.9',
    'acdit tune runs/my-model --network fashion-mnist --reference t10k-images-idx3-ubyte.gz',
    'acdit tune runs/my-model && acdit sample runs/my-model --solver tuned --steps 6',
  ],
  run: async ({ values, positionals }, context) => {
    const name = namedOrBundled(positionals[0], values.video);
    const path = await modelPath(name, context);
    await closingAfter(await openDevice(values), async (device) => {
      const model = await openChosenModel(path, values, context);
      await closingAfter(model.archive, async () => {
        const options = { ...values, ...guidanceOptions(values), search: searchOptions(values) };
        const result = await tuneModel({ ...options, ...context, model, device, path });
        context.report.emit({ model: name, ...result });
        context.report.print(result.file);
      });
    });
  },
});
