/** @file What a command is: its flags, and what it does with them. */

import { ArgumentError } from '../errors.ts';
import { mapValues } from '../records.ts';
import { describeFlags, type Flags, type FlagValues, readFlags, splitArguments, wrapped } from './flags.ts';
import { type TerminalReporter, terminalReporter } from './reporter.ts';
import type { Terminal } from './terminal.ts';

/** Arguments of a command as it gets them. */
export interface CommandArguments<F extends Flags> {
  readonly values: FlagValues<F & typeof commonFlags>;
  /** Names of the flags that were given, to distinguish a default from the same value given. */
  readonly given: ReadonlySet<string>;
  readonly positionals: readonly string[];
  readonly free: readonly (readonly [name: string, value: string])[];
  /** All arguments as they were given. */
  readonly line: readonly string[];
}

/** Where a command reports, and what stops it. */
export interface CommandContext {
  readonly report: TerminalReporter;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly terminal: Terminal;
  /** Names the flag in an error about an option, which the library calls by another name. */
  named(error: unknown): unknown;
}

export interface CommandDefinition<F extends Flags> {
  readonly name: string;
  /** Positional arguments as the help shows them, such as `[MODEL]`; no more than these, but any number of `[MODEL…]`. */
  readonly positionals: readonly string[];
  readonly summary: string;
  readonly flags: F;
  /** See {@link splitArguments}. */
  readonly freeForm?: RegExp;
  /** More help, after the flags. */
  readonly notes?: string;
  /** Command lines that the help ends with. */
  readonly examples?: readonly string[];
  /** @returns the exit code; 0 if it returns no number */
  run(args: CommandArguments<F>, context: CommandContext): Promise<unknown>;
}

export interface Command {
  /** The help of its flags, by their names. */
  readonly flags: Readonly<Record<string, string>>;
  execute(args: readonly string[], terminal: Terminal): Promise<number>;
}

const commonFlags = {
  quiet: { help: 'no progress, and no messages except warnings' },
  verbose: { help: 'show the stack of errors' },
  help: { help: 'show this help', aliases: ['h'] },
} as const satisfies Flags;

/** A command that parses its arguments and answers `--help` itself. Its flags `quiet` and `json`, if any, set its reporter. */
export function defineCommand<const F extends Flags>(definition: CommandDefinition<F>): Command {
  const flags = { ...definition.flags, ...commonFlags };
  return {
    flags: mapValues<{ readonly help: string }, string>(flags, ({ help }) => help),
    async execute(args, terminal) {
      const { texts, positionals, free } = splitArguments(args, flags, definition.freeForm);
      if (texts.has('help')) {
        terminal.stdout.write(`${describe(definition, flags)}\n`);
        return 0;
      }
      requirePositionals(definition, positionals);
      const values = readFlags(flags, texts);
      const report = terminalReporter(terminal, { quiet: texts.has('quiet'), json: texts.has('json') });
      const { signal } = terminal;
      const given = new Set(texts.keys());
      const named = (error: unknown): unknown => namingFlag(error, flags);
      const context = { report, signal, terminal, named };
      try {
        const code = await definition.run({ values, given, positionals, free, line: args }, context);
        return typeof code === 'number' ? code : 0;
      } catch (error) {
        throw named(error);
      }
    },
  };
}

/** Flags of options that have another name in the library. */
const FLAG_OF_OPTION: Readonly<Record<string, string>> = {
  'guidance.scale': 'cfg',
  'guidance.interval': 'guidance-interval',
  'guidance.schedule': 'guidance-schedule',
  'layout.patch': 'patch-size',
  'layout.blockSize': 'block-size',
  'layout.blocks': 'ar-len',
  'layout.frames': 'num-frames',
};

/** Names the flag that stands for the wrong option of a run. */
function namingFlag(error: unknown, flags: Flags): unknown {
  if (!(error instanceof ArgumentError) || error.field === undefined) return error;
  const { field, problem } = error;
  const flag = FLAG_OF_OPTION[field] ?? field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return Object.hasOwn(flags, flag) ? new ArgumentError(`--${flag} ${problem}`, { cause: error }) : error;
}

function requirePositionals(
  { name, positionals: allowed }: Pick<CommandDefinition<Flags>, 'name' | 'positionals'>,
  positionals: readonly string[],
): void {
  const extra = positionals[allowed.length];
  if (extra === undefined || allowed.some((positional) => positional.includes('…'))) return;
  const expected = allowed.join(' ') || 'no arguments';
  throw new ArgumentError(`${name}: unexpected argument '${extra}'; expected ${expected}`);
}

function describe(definition: Omit<CommandDefinition<Flags>, 'run'>, flags: Flags): string {
  const { name, positionals, summary, notes, examples = [] } = definition;
  const usage = ['acdit', name, ...positionals, '[flags]'].join(' ');
  const more = notes === undefined ? [] : ['', ...notes.split('\n').flatMap((line) => wrapped(line))];
  const shown = examples.length === 0 ? [] : ['', 'Examples:', ...examples.map((line) => `  ${line}`)];
  const about = wrapped(summary.replaceAll('\n', ' '));
  return [usage, '', ...about, '', describeFlags(flags), ...more, ...shown].join('\n');
}
