import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import {
  choice,
  describeFlags,
  type Flags,
  list,
  perBlock,
  readFlags,
  splitArguments,
  wholeNumber,
} from './flags.ts';

const flags = {
  steps: {
    value: 'N',
    parse: perBlock(wholeNumber()),
    default: '25',
    help: 'how many',
    aliases: ['sample_step'],
  },
  words: { value: 'A,B', parse: list(choice(['one', 'two'])), help: 'some' },
  name: { value: 'NAME', help: 'a text' },
  json: { help: 'as JSON', aliases: ['j'] },
} as const satisfies Flags;

const read = (...args: string[]) => readFlags(flags, splitArguments(args, flags).texts);

describe('splitArguments', () => {
  it('takes values, aliases, short forms and positionals in any order', () => {
    const parsed = splitArguments(['model', '--sample_step', '3', '-j', 'more'], flags);
    expect([...parsed.texts]).toEqual([
      ['steps', '3'],
      ['json', true],
    ]);
    expect(parsed.positionals).toEqual(['model', 'more']);
    expect(splitArguments(['--steps=1', '--steps', '2'], flags).texts.get('steps')).toBe('2');
    expect(splitArguments(['--', '--steps'], flags).positionals).toEqual(['--steps']);
  });

  it('takes flags of a free form with their values', () => {
    const { free, positionals } = splitArguments(
      ['--a.b', '1', 'x', '--a.c=2', '--steps', '3'],
      flags,
      /^a\./,
    );
    expect(free).toEqual([
      ['a.b', '1'],
      ['a.c', '2'],
    ]);
    expect(positionals).toEqual(['x']);
  });

  it('takes negative numbers and a dash as values', () => {
    for (const args of [['--steps', '-1'], ['--steps', '-.5'], ['--steps=--x']]) {
      expect(splitArguments(args, flags).texts.get('steps')).toBe(args.at(-1)!.replace('--steps=', ''));
    }
  });

  it.each([
    [['--step', '3'], 'unknown flag --step; did you mean --steps?'],
    [['--steps'], '--steps needs a value'],
    [['--steps='], '--steps needs a value'],
    [['--steps', '--json'], '--steps needs a value'],
    [['--json=1'], '--json takes no value'],
    [['--b.c', '1'], 'unknown flag --b.c'],
    [['--a.b'], '--a.b needs a value'],
    [['--constructor'], 'unknown flag --constructor'],
  ])('refuses %j', (args, message) => {
    const parse = () => splitArguments(args, flags, /^a\./);
    expect(parse).toThrow(ArgumentError);
    expect(parse).toThrow(message);
  });
});

describe('readFlags', () => {
  it('gives defaults, false for switches, and undefined for the rest', () => {
    expect(read()).toEqual({ steps: 25, words: undefined, name: undefined, json: false });
  });

  it('reads each flag with its parser', () => {
    const values = read('--steps', '3/4', '--words', 'two, one', '--name', '7', '--json');
    expect(values).toEqual({ steps: [3, 4], words: ['two', 'one'], name: '7', json: true });
    const steps: number | readonly number[] = values.steps;
    const words: ('one' | 'two')[] | undefined = values.words;
    expect([steps, words]).toHaveLength(2);
  });

  it.each([
    [['--steps', 'x'], "--steps must be a whole number of at least 1, got 'x'"],
    [['--steps', '3/0'], "--steps must be a whole number of at least 1, got '0'"],
    [['--words', 'tow'], "--words must be one of one, two, got 'tow'; did you mean two?"],
  ])('refuses %j', (args, message) => {
    expect(() => read(...args)).toThrow(ArgumentError);
    expect(() => read(...args)).toThrow(message);
  });
});

describe('describeFlags', () => {
  it('aligns, and states the defaults and aliases', () => {
    expect(describeFlags(flags).split('\n')).toEqual([
      '  --steps N     how many (default: 25) (also --sample_step)',
      '  --words A,B   some',
      '  --name NAME   a text',
      '  --json        as JSON',
    ]);
  });
});
