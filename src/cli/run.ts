/** @file The command line as a function: arguments in, exit code out. Each command is loaded when it is called. */

import { get } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';
import { packageVersion } from '../package-version.ts';
import type { CommandTable } from './completion.ts';
import { reportFailure } from './failure.ts';
import type { Terminal } from './terminal.ts';

/** What each command does, in a line, and its module. */
const commands: CommandTable = {
  sample: ['sample images or videos from a model', () => import('./sample.ts')],
  train: ['train a model from a recipe, or resume a run', () => import('./train.ts')],
  'range-test': ['find a learning rate for a recipe', () => import('./range-test.ts')],
  study: ['run a study: trainings with different settings and seeds', () => import('./study.ts')],
  tune: ['fit a solver to a model, for samples in fewer steps', () => import('./tune.ts')],
  encode: ['encode images to latents to train on', () => import('./encode.ts')],
  convert: ['convert a model: official checkpoint, model folder, ONNX', () => import('./convert.ts')],
  verify: ['check a model against golden numbers of the official code', () => import('./verify.ts')],
  evaluate: [
    'compare samples with a reference: Fréchet distance, precision, recall and more',
    () => import('./evaluate.ts'),
  ],
  serve: ['serve models over HTTP', () => import('./serve.ts')],
  info: ['describe a model, and draw its attention plan', () => import('./info.ts')],
  completion: [
    'print a script that completes commands and flags in bash, zsh or fish',
    async () => ({ command: (await import('./completion.ts')).completionCommand(commands) }),
  ],
};

/** Run the command that `args` name. Errors are reported on the terminal. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, terminal);
  } catch (error) {
    return reportFailure(error, args.includes('--verbose'), terminal);
  }
}

async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name = '--help', ...rest] = args;
  if (name === '--version') {
    terminal.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  if (name === 'help' && rest.length > 0) return dispatch([...rest, '--help'], terminal);
  if (name === '--help' || name === '-h' || name === 'help') {
    terminal.stdout.write(overview());
    return 0;
  }
  if (!Object.hasOwn(commands, name)) {
    const what = name.startsWith('-') ? `expected a command before ${name}` : `unknown command '${name}'`;
    const known = Object.keys(commands);
    throw new ArgumentError(`${what}${didYouMean(name, known) || '.'} There are ${known.join(', ')}`);
  }
  const [, load] = get(commands, name);
  const { command } = await load();
  return command.execute(rest, terminal);
}

function overview(): string {
  const lines = Object.entries(commands).map(([name, [summary]]) => `  ${name.padEnd(12)}${summary}`);
  return [
    'acdit COMMAND [flags]',
    '',
    'ACDiT: block-wise autoregressive conditional diffusion transformers.',
    '',
    ...lines,
    '',
    'acdit COMMAND --help shows the flags of a command, acdit --version the version.',
    '',
  ].join('\n');
}
