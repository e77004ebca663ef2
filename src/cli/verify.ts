/** @file `acdit verify`: is this build as exact as it should be? */

import { readWeights } from '../checkpoints/load.ts';
import { ArgumentError, FormatError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import type { Check } from '../verification/check.ts';
import { checkedNames, verifyModel } from '../verification/verify.ts';
import { defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import { EXIT } from './failure.ts';
import type { Flags } from './flags.ts';
import { checkpointFlags, openChosenModel } from './shared-flags.ts';

const verifyFlags = {
  ...checkpointFlags,
  ...deviceFlags,
  json: { help: 'print all checks as JSON, without a progress bar' },
} as const satisfies Flags;

export const command = defineCommand({
  name: 'verify',
  positionals: ['MODEL', 'GOLDEN.npz'],
  summary:
    'Check a model against golden numbers of the official code: tables, sampling, prediction, loss, gradients and\n' +
    'optimizer steps. Prints a line for each, with its error max|a-b| / max|b| and its tolerance. Exit code 1 on any failure.',
  flags: verifyFlags,
  examples: ['acdit verify test/fixtures/golden/image-tiny.pt test/fixtures/golden/image-tiny.npz'],
  notes: 'With --verbose, gradients and updated parameters are listed one by one.',
  run: async ({ values, positionals: [model, goldenPath] }, context) => {
    if (model === undefined || goldenPath === undefined) {
      throw new ArgumentError('verify needs MODEL and GOLDEN.npz');
    }
    const { report, signal } = context;
    return closingAfter(await openDevice(values), async (device) =>
      closingAfter(await openNpz(await openFile(goldenPath)), async (golden) => {
        const names = checkedNames(golden.names);
        if (names.length === 0) {
          throw new FormatError(
            `${goldenPath}: holds no known golden numbers, such as rope.cos or sample.latents`,
          );
        }
        const stored = await openChosenModel(model, values, context);
        const weights = await closingAfter(stored.archive, () => readWeights(stored, context));
        const progress = report.progress({ total: names.length, label: 'verify', unit: 'check' });
        const checks: Check[] = [];
        try {
          for await (const check of verifyModel({ config: stored.config, weights, golden, device, signal })) {
            checks.push(check);
            progress.update(checks.length);
          }
        } finally {
          progress.finish();
        }
        const failed = checks.filter(({ passed }) => !passed).length;
        report.emit({ model, golden: goldenPath, passed: checks.length - failed, failed, checks });
        report.print(textReport(checks, values.verbose));
        return failed > 0 ? EXIT.failure : undefined;
      }),
    );
  },
});

/** Arrays of which there is one for each parameter are one line together. */
const GROUPS = ['train.grad.', 'train.after3.'];

function textReport(checks: readonly Check[], all: boolean): string {
  const groups = new Map<string, Check[]>();
  for (const check of checks) {
    const prefix = all ? undefined : GROUPS.find((start) => check.name.startsWith(start));
    const key = prefix === undefined ? check.name : `${prefix}*`;
    groups.set(key, [...(groups.get(key) ?? []), check]);
  }
  const lines = [...groups].map(([key, group]): [title: string, worst: Check] => [
    key.endsWith('*') ? `${key} (${group.length})` : key,
    group.reduce((a, b) => (excess(b) > excess(a) ? b : a)),
  ]);
  const width = Math.max(...lines.map(([title]) => title.length));
  const failed = checks.filter(({ passed }) => !passed).length;
  const summary = `${checks.length - failed} passed, ${failed} failed`;
  return [...lines.map(([title, worst]) => lineText(title, worst, width)), summary].join('\n');
}

/** Returns the error over its tolerance; one that is not a number is the worst. */
function excess({ error, tolerance }: Check): number {
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / tolerance;
}

function lineText(title: string, worst: Check, width: number): string {
  const { name, error, tolerance, passed, problem } = worst;
  const size = Number.isFinite(error) ? error.toExponential(1) : String(error);
  const which = name === title ? '' : `  worst ${name}`;
  const note = problem ? `  ${problem}` : '';
  return `${passed ? 'ok    ' : 'FAILED'}  ${title.padEnd(width)}  ${size.padStart(8)}  of ${tolerance.toExponential(0)}${which}${note}`;
}
