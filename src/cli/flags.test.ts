import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { describeFlags, type Flags, parseFlags } from './flags.ts';

const flags = {
  steps: { type: 'string', value: 'N', help: 'how many', aliases: ['sample_step'] },
  json: { type: 'boolean', help: 'as JSON', aliases: ['j'] },
} as const satisfies Flags;

describe('parseFlags', () => {
  it('takes values, aliases, short forms and positionals in any order', () => {
    const parsed = parseFlags(['model', '--sample_step', '3', '-j', 'more'], flags);
    expect(parsed).toEqual({
      values: { steps: '3', json: true },
      positionals: ['model', 'more'],
      free: [],
    });
    expect(parseFlags(['--steps=1', '--steps', '2'], flags).values).toEqual({ steps: '2' });
    expect(parseFlags(['--', '--steps'], flags).positionals).toEqual(['--steps']);
  });

  it('takes flags of a free form with their values', () => {
    const { free, positionals } = parseFlags(['--a.b', '1', 'x', '--a.c=2', '--steps', '3'], flags, /^a\./);
    expect(free).toEqual([
      ['a.b', '1'],
      ['a.c', '2'],
    ]);
    expect(positionals).toEqual(['x']);
  });

  it('takes negative numbers and a dash as values', () => {
    expect(parseFlags(['--steps', '-1'], flags).values.steps).toBe('-1');
    expect(parseFlags(['--steps', '-.5'], flags).values.steps).toBe('-.5');
    expect(parseFlags(['--steps=--x'], flags).values.steps).toBe('--x');
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
    const parse = () => parseFlags(args, flags, /^a\./);
    expect(parse).toThrow(ArgumentError);
    expect(parse).toThrow(message);
  });
});

describe('describeFlags', () => {
  it('aligns, and names the aliases', () => {
    expect(describeFlags(flags)).toBe('  --steps N   how many (also --sample_step)\n  --json      as JSON');
  });
});
