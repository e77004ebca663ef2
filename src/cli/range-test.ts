/** @file `acdit range-test`: finds a learning rate for a recipe. */

import { ArgumentError, TrainingError } from '../errors.ts';
import { formatRate } from '../io/quantities.ts';
import { DEFAULT_RANGE, testLearningRates } from '../runs/range-test.ts';
import { SUGGESTION_RULE } from '../training/rate-range.ts';
import { defineCommand } from './command.ts';
import { deviceFlags, withTrainingDevices } from './device.ts';
import { countFlag, type Flags, fileFlag, list, realNumber } from './flags.ts';
import { requireOneProcess } from './ranks.ts';
import { RECIPE_KEY, readRecipe, recipeFlags } from './recipe-flags.ts';
import { overwriteFlags, reportFlags } from './shared-flags.ts';

const { out: _out, steps: _steps, 'learning-rate': _rate, ...testedFlags } = recipeFlags;

const rangeTestFlags = {
  ...testedFlags,
  from: { value: 'RUN', help: 'folder of a run whose recipe is tested, instead of RECIPE.json' },
  rates: {
    value: 'FROM,TO',
    parse: list(realNumber('above 0', (rate) => rate > 0)),
    help: `lowest and highest learning rate (default: ${DEFAULT_RANGE.from},${DEFAULT_RANGE.to})`,
  },
  steps: countFlag('optimizer steps of the test', { default: DEFAULT_RANGE.steps }),
  out: fileFlag(
    '.json',
    "file of the results, next to which the plot is (default: the run's folder + -range-test.json)",
  ),
  ...overwriteFlags,
  ...deviceFlags,
  ...reportFlags,
} as const satisfies Flags;

export const command = defineCommand({
  name: 'range-test',
  positionals: ['[RECIPE.json]'],
  summary:
    'Find a learning rate for a recipe: train for a few hundred steps while the rate rises exponentially. The losses are\n' +
    "written as JSON and as an SVG plot. The suggested rate is printed last. The recipe's run is not touched.",
  flags: rangeTestFlags,
  examples: [
    'acdit range-test recipes/fashion-mnist.json',
    'acdit range-test recipes/fashion-mnist.json --rates 1e-5,0.1 --steps 300 --out rates.json',
    'acdit train my.json --learning-rate $(acdit range-test my.json)',
  ],
  freeForm: RECIPE_KEY,
  notes: `The range test is that of Smith (2017). The suggested rate is ${SUGGESTION_RULE}.`,
  run: async ({ values, positionals: [path], free }, { report, signal }) => {
    requireOneProcess('range-test');
    const { from: run, rates, steps, out, overwrite, ...short } = values;
    if (rates && rates.length !== 2) {
      throw new ArgumentError(`--rates must be two rates such as 1e-6,1, got ${rates.length}`);
    }
    const [from, to] = rates ?? [];
    // The test has no folder of its own, which another run needs.
    const folder: [string, string][] = run === undefined ? [] : [['output.folder', run]];
    const recipe = await readRecipe({ path, from: run }, short, [...folder, ...free]);
    const file = out ?? `${recipe.output.folder.replace(/[/\\]+$/, '')}-range-test.json`;
    const { suggested, problem, lowest, steepest, diverged, plot } = await withTrainingDevices(
      values,
      (devices) =>
        testLearningRates({ ...devices, recipe, from, to, steps, file, overwrite, report, signal }),
    );
    report.say(
      `the loss falls fastest at ${formatRate(steepest)}, is lowest at ${formatRate(lowest)}, and ` +
        `${diverged ? 'diverged, which ended the test' : 'did not diverge'}; losses: ${file}, plot: ${plot}`,
    );
    if (suggested === undefined)
      throw new TrainingError(`no learning rate can be suggested: ${problem} with --rates`);
    report.print(formatRate(suggested));
  },
});
