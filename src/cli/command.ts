/** @file What a command is: its flags, and what it does with them on a terminal. */

import { ArgumentError } from '../errors.ts';
import { describeFlags, type Flags, type FlagValues, parseFlags } from './flags.ts';
import type { ProgressStream } from './progress.ts';

/** Where a command writes, and what stops it. */
export interface Terminal {
  /** Results. */
  readonly stdout: ProgressStream;
  /** Progress and problems. */
  readonly stderr: ProgressStream;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Arguments of a command as it gets them. */
export interface CommandArguments<F extends Flags> {
  readonly values: FlagValues<F & typeof commonFlags>;
  readonly positionals: readonly string[];
  readonly free: readonly (readonly [name: string, value: string])[];
}

export interface CommandDefinition<F extends Flags> {
  readonly name: string;
  /** Positional arguments as the help shows them, such as `[MODEL]`; no more than these, but any number of `[MODEL…]`. */
  readonly positionals: readonly string[];
  readonly summary: string;
  readonly flags: F;
  /** See {@link parseFlags}. */
  readonly freeForm?: RegExp;
  /** More help, after the flags. */
  readonly notes?: string;
  /** @returns the exit code; 0 if nothing */
  run(args: CommandArguments<F>, terminal: Terminal): Promise<number | undefined>;
}

export interface Command {
  execute(args: readonly string[], terminal: Terminal): Promise<number>;
}

const commonFlags = {
  verbose: { type: 'boolean', help: 'show the stack of errors' },
  help: { type: 'boolean', help: 'show this help', aliases: ['h'] },
} as const satisfies Flags;

/** A command that parses its arguments, and answers `--help` itself. */
export function defineCommand<const F extends Flags>(definition: CommandDefinition<F>): Command {
  const flags = { ...definition.flags, ...commonFlags };
  return {
    async execute(args, terminal) {
      const { values, positionals, free } = parseFlags(args, flags, definition.freeForm);
      if ((values as { help?: boolean }).help) {
        terminal.stdout.write(`${describe(definition, flags)}\n`);
        return 0;
      }
      const many = definition.positionals.some((name) => name.includes('…'));
      if (!many && positionals.length > definition.positionals.length) {
        const expected = definition.positionals.join(' ') || 'no arguments';
        const extra = positionals[definition.positionals.length];
        throw new ArgumentError(`${definition.name}: unexpected argument '${extra}'; expected ${expected}`);
      }
      return (await definition.run({ values, positionals, free }, terminal)) ?? 0;
    },
  };
}

function describe(definition: CommandDefinition<Flags>, flags: Flags): string {
  const { name, positionals, summary, notes } = definition;
  const usage = ['acdit', name, ...positionals, '[flags]'].join(' ');
  return [usage, '', summary, '', describeFlags(flags), ...(notes ? ['', notes] : [])].join('\n');
}
