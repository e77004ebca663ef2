/** @file `acdit train`: train a model by a recipe, or resume where it stopped. */

import { onEach } from '../distributed/agree.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { changedHoldOutNote } from '../runs/held-out.ts';
import { trainModel } from '../runs/train.ts';
import { CHANGEABLE_KEYS } from '../training/same-run.ts';
import { type CommandArguments, type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, withTrainingDevices } from './device.ts';
import { choice, type Flags, list } from './flags.ts';
import { onRanks, rankFlags } from './ranks.ts';
import { RECIPE_KEY, readRecipe, recipeFlags } from './recipe-flags.ts';
import { reportFlags } from './shared-flags.ts';

const trainFlags = {
  ...recipeFlags,
  from: { value: 'RUN', help: 'folder of a run: start another run with its recipe, changed by flags' },
  fresh: { help: 'start at step 0 instead of resuming' },
  overwrite: { help: 'with --fresh: replace the run or the model in the folder' },
  'allow-change': {
    value: 'KEYS',
    parse: list(choice(CHANGEABLE_KEYS)),
    help: 'recipe keys that may differ when resuming, such as training.learningRate',
  },
  ...deviceFlags,
  ...rankFlags,
  ...reportFlags,
} as const satisfies Flags;

export const command = defineCommand({
  name: 'train',
  positionals: ['[RECIPE.json]'],
  summary:
    'Train a model. An interrupted run resumes where it stopped; Ctrl-C saves and stops. The path of the model\n' +
    '(its EMA weights) is printed last.',
  flags: trainFlags,
  examples: [
    'acdit train recipes/fashion-mnist.json',
    'acdit train recipes/fashion-mnist.json --training.steps 20000 --output.folder runs/longer',
    'acdit train --from runs/fashion-mnist --out runs/slower --learning-rate 1e-4',
  ],
  freeForm: RECIPE_KEY,
  notes:
    'Any key of a recipe is a flag too, such as --training.warmupSteps 100 or --data.flip true.\n' +
    'The value null removes a key.',
  run: (args, context) => onRanks(context, args.values, (own, ranks) => runTrain(args, own, ranks)),
});

async function runTrain(
  { values, positionals, free, line }: CommandArguments<typeof trainFlags>,
  { report, signal }: CommandContext,
  ranks: Ranks | undefined,
): Promise<void> {
  const source = { path: positionals[0], from: values.from };
  const recipe = await onEach(ranks, () => readRecipe(source, values, free));
  const { from } = values;
  const note =
    from === undefined ? undefined : await onEach(ranks, () => changedHoldOutNote(from, recipe.data));
  if (note !== undefined && (ranks?.communicator.rank ?? 0) === 0) report.warn(note);
  const { fresh, overwrite, allowChange: allowChanges } = values;
  await withTrainingDevices(values, async (devices) => {
    const options = {
      ...devices,
      recipe,
      fresh,
      overwrite,
      allowChanges,
      report,
      signal,
      ranks,
      command: ['acdit', 'train', ...line],
    };
    const { folder } = await trainModel(options);
    report.print(folder);
  });
  signal.throwIfAborted();
}
