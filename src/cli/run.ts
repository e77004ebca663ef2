/** @file The command line as a function: arguments in, exit code out. Each command is loaded when it is called. */

import { get } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';
import type { Command } from './command.ts';
import { reportFailure } from './failure.ts';
import { packageVersion } from './package-version.ts';
import type { Terminal } from './terminal.ts';

interface CommandEntry {
  readonly summary: string;
  load(): Promise<Command>;
}

const commands: Readonly<Record<string, CommandEntry>> = {
  sample: {
    summary: 'sample images from a model',
    load: async () => (await import('./sample.ts')).sampleCommand,
  },
  train: {
    summary: 'train a model by a recipe, or go on with a training',
    load: async () => (await import('./train.ts')).trainCommand,
  },
  encode: {
    summary: 'encode images to latents to train on',
    load: async () => (await import('./encode.ts')).encodeCommand,
  },
  convert: {
    summary: 'convert a model: official checkpoint, model folder, ONNX',
    load: async () => (await import('./convert.ts')).convertCommand,
  },
  verify: {
    summary: 'check a model against golden numbers of the official code',
    load: async () => (await import('./verify.ts')).verifyCommand,
  },
  evaluate: {
    summary: 'compare samples with a reference: Fréchet distance, precision, recall and more',
    load: async () => (await import('./evaluate.ts')).evaluateCommand,
  },
  serve: {
    summary: 'serve models over HTTP',
    load: async () => (await import('./serve.ts')).serveCommand,
  },
  info: {
    summary: 'describe a model, and draw its attention plan',
    load: async () => (await import('./info.ts')).infoCommand,
  },
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
    terminal.stdout.write(`${await packageVersion()}\n`);
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
  const command = await get(commands, name).load();
  return command.execute(rest, terminal);
}

function overview(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
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
