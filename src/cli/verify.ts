/** @file `acdit verify`: is this build as exact as it should be? */

import { readWeights } from '../checkpoints/load.ts';
import { ArgumentError, FormatError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import type { Check } from '../verification/check.ts';
import { checkedNames, verifyModel } from '../verification/verify.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import { EXIT } from './failure.ts';
import type { Flags, FlagValues } from './flags.ts';
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
    'optimizer steps. A line each with its error max|a-b| / max|b| and its tolerance; exit code 1 on any failure.',
  flags: verifyFlags,
  notes: 'With --verbose gradients and updated parameters are listed one by one.',
  run: ({ values, positionals: [model, golden] }, context) => {
    if (model === undefined || golden === undefined) {
      throw new ArgumentError('verify needs MODEL and GOLDEN.npz');
    }
    return verify(model, golden, values, context);
  },
});

type VerifyValues = FlagValues<typeof verifyFlags> & { readonly verbose: boolean };

async function verify(
  model: string,
  goldenPath: string,
  values: VerifyValues,
  context: CommandContext,
): Promise<number | undefined> {
  const { report, signal } = context;
  const device = await openDevice(values);
  const golden = await openNpz(await openFile(goldenPath));
  try {
    const names = checkedNames(golden.names);
    if (names.length === 0) {
      throw new FormatError(
        `${goldenPath}: holds no known golden numbers, such as rope.cos or sample.latents`,
      );
    }
    const { config, weights } = await readModel(model, values, context);
    const progress = report.progress({ total: names.length, label: 'verify', unit: 'check' });
    const checks: Check[] = [];
    try {
      for await (const check of verifyModel({ config, weights, golden, device, signal })) {
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
  } finally {
    await golden.close();
    await device.dispose();
  }
}

async function readModel(name: string, values: VerifyValues, context: CommandContext) {
  const model = await openChosenModel(name, values, context);
  const weights = await closingAfter(model.archive, () => readWeights(model, context));
  return { config: model.config, weights };
}

/** Arrays of which there is one for each parameter are one line together. */
const GROUPS = ['train.grad.', 'train.after3.'];

interface Line {
  readonly title: string;
  /** The worst of the line's checks. */
  readonly worst: Check;
}

function textReport(checks: readonly Check[], all: boolean): string {
  const lines: Line[] = [];
  for (const check of checks) {
    const group = GROUPS.find((prefix) => check.name.startsWith(prefix));
    if (all || !group) lines.push({ title: check.name, worst: check });
    else if (!lines.some(({ title }) => title.startsWith(group))) lines.push(groupLine(checks, group));
  }
  const width = Math.max(...lines.map(({ title }) => title.length));
  const failed = checks.filter(({ passed }) => !passed).length;
  const summary = `${checks.length - failed} passed, ${failed} failed`;
  return [...lines.map((line) => lineText(line, width)), summary].join('\n');
}

function groupLine(checks: readonly Check[], prefix: string): Line {
  const group = checks.filter(({ name }) => name.startsWith(prefix));
  // An error that is no number is the worst.
  const excess = ({ error, tolerance }: Check): number =>
    Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / tolerance;
  const worst = group.reduce((a, b) => (excess(b) > excess(a) ? b : a));
  return { title: `${prefix}* (${group.length})`, worst };
}

function lineText({ title, worst }: Line, width: number): string {
  const { name, error, tolerance, passed, problem } = worst;
  const size = Number.isFinite(error) ? error.toExponential(1) : String(error);
  const which = name === title ? '' : `  worst ${name}`;
  const note = problem ? `  ${problem}` : '';
  return `${passed ? 'ok    ' : 'FAILED'}  ${title.padEnd(width)}  ${size.padStart(8)}  of ${tolerance.toExponential(0)}${which}${note}`;
}
