/** @file `acdit tune`: fits a solver to a model. */

import { DEFAULT_MODELS } from '../checkpoints/bundled-names.ts';
import { ArgumentError } from '../errors.ts';
import { closingAfter } from '../io/byte-source.ts';
import { NETWORKS } from '../runs/feature-network.ts';
import { modelPath } from '../runs/model-path.ts';
import { REFERENCE_STEPS, TUNED_STEPS, TUNING_SAMPLES, TUNING_SEED, tuneModel } from '../runs/tune.ts';
import { type GuidanceSearch, SEARCH_SAMPLES } from '../runs/tune-guidance.ts';
import { defineCommand } from './command.ts';
import { deviceFlags, openDevice, precisionFlag } from './device.ts';
import { countFlag, type Flags, type FlagValues, list, wholeNumber } from './flags.ts';
import { guidanceFlags, guidanceOptions } from './guidance-flags.ts';
import { requireOneProcess } from './ranks.ts';
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
    help: `numbers of solver steps per block, each fitted on its own (default: ${TUNED_STEPS.join()})`,
  },
  'default-steps': countFlag(
    'steps taken if a sample is made without --steps (default: 8, or the nearest in --steps)',
  ),
  ...guidanceFlags,
  network: {
    value: 'NAME',
    help: `first search for the best guidance, by features of this network: ${NETWORKS.join(', ')} or a classifier's folder`,
  },
  reference: {
    value: 'PATH',
    help: 'images or videos that the search compares samples with, as for acdit evaluate',
  },
  'search-samples': countFlag('samples for each guidance that the search tries', {
    minimum: 2,
    default: SEARCH_SAMPLES,
  }),
  inception: { value: 'FILE', help: 'weights of the Inception network: .pth, .pb or .safetensors' },
  i3d: { value: 'FILE', help: 'weights of I3D for videos: .pt or .safetensors' },
  vae: { value: 'DIR', help: 'autoencoder of a model of latents, for --network' },
  samples: countFlag(
    'samples to fit to; half as many choose between fits, and half as many measure the error',
    {
      minimum: 2,
      default: TUNING_SAMPLES,
    },
  ),
  'reference-steps': countFlag('solver steps of the reference, which stands for the exact solution', {
    minimum: 2,
    default: REFERENCE_STEPS,
  }),
  seed: countFlag("random seed of the samples' noise", { minimum: 0, default: TUNING_SEED }),
  batch: countFlag('samples per pass (default: 16, fewer if the cache would exceed 1 GB)'),
  video: { help: `without MODEL: ${DEFAULT_MODELS.video} instead of ${DEFAULT_MODELS.image}` },
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
    'Fit a solver to a model, so that a few steps per block come close to the exact solution. The solver is written to\n' +
    'solver.json in the model folder (for a .pt or a model of the Hugging Face Hub: in a cache folder), and the path of the\n' +
    'file is printed last. acdit sample uses it with --preset fast or --solver tuned. If tuning is interrupted, the same\n' +
    'command resumes it.',
  flags: tuneFlags,
  examples: [
    'acdit tune runs/my-model',
    'acdit tune runs/my-model --steps 6,8,10 --cfg 2.3 --guidance-interval -3.4,1.9',
    'acdit tune runs/my-model --network fashion-mnist --reference t10k-images-idx3-ubyte.gz',
    'acdit tune runs/my-model && acdit sample runs/my-model --solver tuned --steps 6',
  ],
  run: async ({ values, positionals }, context) => {
    requireOneProcess('tune');
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
