/** @file `acdit completion`: a script that lets a shell complete commands, flags and files. */

import { ArgumentError } from '../errors.ts';
import { type Command, defineCommand } from './command.ts';

/** The commands by their names, with their summaries. */
export type CommandTable = Readonly<
  Record<string, readonly [summary: string, load: () => Promise<{ readonly command: Command }>]>
>;

/** A command as the scripts know it. */
interface Completed {
  readonly name: string;
  readonly summary: string;
  /** Its flags, without dashes, with their help. */
  readonly flags: Readonly<Record<string, string>>;
}

const SHELLS = { bash, zsh, fish } as const;

/** Makes the command for a table. */
export function completionCommand(table: CommandTable): Command {
  return defineCommand({
    name: 'completion',
    positionals: ['SHELL'],
    summary:
      'Print a script that completes commands, flags and files. SHELL is bash, zsh or fish. The examples show how to load it.',
    flags: {},
    examples: [
      'source <(acdit completion bash)                                  # in ~/.bashrc',
      'source <(acdit completion zsh)                                   # in ~/.zshrc, after compinit',
      'acdit completion fish > ~/.config/fish/completions/acdit.fish',
    ],
    run: async ({ positionals: [shell = ''] }, { report }) => {
      if (!Object.hasOwn(SHELLS, shell)) {
        throw new ArgumentError(
          `completion needs a shell: ${Object.keys(SHELLS).join(', ')}, got '${shell}'`,
        );
      }
      const loaded = Object.entries(table).map(async ([name, [summary, load]]): Promise<Completed> => {
        return { name, summary, flags: (await load()).command.flags };
      });
      report.print(SHELLS[shell as keyof typeof SHELLS](await Promise.all(loaded)));
    },
  });
}

const namesOf = (commands: readonly Completed[]): string => commands.map(({ name }) => name).join(' ');
const flagsOf = ({ flags }: Completed): string =>
  Object.keys(flags)
    .map((flag) => `--${flag}`)
    .join(' ');

function bash(commands: readonly Completed[]): string {
  return `_acdit() {
  local word=\${COMP_WORDS[COMP_CWORD]} flags=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${namesOf(commands)}' -- "$word"))
    return
  fi
  case \${COMP_WORDS[1]} in
${commands.map((command) => `    ${command.name}) flags='${flagsOf(command)}' ;;`).join('\n')}
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _acdit acdit`;
}

function zsh(commands: readonly Completed[]): string {
  return `#compdef acdit
_acdit() {
  local -a flags
  if (( CURRENT == 2 )); then
    compadd -- ${namesOf(commands)}
    return
  fi
  case $words[2] in
${commands.map((command) => `    ${command.name}) flags=(${flagsOf(command)}) ;;`).join('\n')}
  esac
  if [[ $PREFIX == -* ]]; then compadd -- $flags; else _files; fi
}
compdef _acdit acdit`;
}

function fish(commands: readonly Completed[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
  return commands
    .flatMap(({ name, summary, flags }) => [
      `complete -c acdit -f -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
      ...Object.entries(flags).map(
        ([flag, help]) =>
          `complete -c acdit -n '__fish_seen_subcommand_from ${name}' -l ${flag} -d ${quoted(help)}`,
      ),
    ])
    .join('\n');
}
