/** @file `acdit study`: a matrix of trainings, and its results. */

import { ArgumentError } from '../errors.ts';
import { describePlan, planStudy, runStudy } from '../runs/study.ts';
import { defineCommand } from './command.ts';
import { deviceFlags, withTrainingDevices } from './device.ts';
import type { Flags } from './flags.ts';
import { requireOneProcess } from './ranks.ts';
import { reportFlags } from './shared-flags.ts';

const studyFlags = {
  plan: { help: 'list the runs with their steps and operations, without running them' },
  ...deviceFlags,
  ...reportFlags,
} as const satisfies Flags;

export const command = defineCommand({
  name: 'study',
  positionals: ['STUDY.json'],
  summary:
    'Run a study: train a recipe with different settings and seeds, and compare the results. An interrupted study\n' +
    'resumes; finished runs are not repeated. The results are a table (Markdown, CSV, JSON) and a plot per metric.\n' +
    'The path of the table is printed last.',
  flags: studyFlags,
  examples: [
    'acdit study recipes/studies/trade-off.json --plan',
    'acdit study recipes/studies/trade-off.json',
  ],
  run: async ({ values, positionals: [path], line }, { report, signal }) => {
    requireOneProcess('study');
    if (path === undefined) {
      throw new ArgumentError('study needs STUDY.json, such as recipes/studies/trade-off.json');
    }
    await withTrainingDevices(values, async (devices) => {
      const options = { ...devices, path, report, signal, command: ['acdit', 'study', ...line] };
      if (values.plan) {
        const runs = await planStudy(options);
        for (const run of runs) report.emit({ kind: 'planned', ...run });
        for (const text of describePlan(runs)) report.print(text);
      } else {
        const { table } = await runStudy(options);
        report.print(table);
      }
    });
    signal.throwIfAborted();
  },
});
