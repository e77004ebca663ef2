import { expect, it } from 'vitest';
import { FormatError } from '../../errors.ts';
import { PickleBudget } from './pickle-budget.ts';
import { PickleReader } from './pickle-reader.ts';

/** A budget with `units` units left. */
function left(units: number): PickleBudget {
  const budget = new PickleBudget(new PickleReader(new Uint8Array(), 'm'));
  budget.spend(8_000_000 - units);
  return budget;
}

it('has 8 million units', () => {
  expect(() => left(0).spend(0)).not.toThrow();
  expect(() => left(0).spend(1)).toThrow(FormatError);
  expect(() => left(0).spend(1)).toThrow('m: describes far more than a checkpoint does; it is malicious');
  const budget = left(2);
  budget.spend(1);
  budget.spend(1);
  expect(() => budget.spend(1)).toThrow(FormatError);
});

it.each<[string, unknown, number]>([
  ['a list: its items', [1, 2, 3], 3],
  ['a dict: its keys and values', new Map([['a', 1]]), 2],
  ['a text: an eighth of its characters', 'nine char', 2],
  ['bytes: an eighth of them', new Uint8Array(16), 2],
  ['a number: nothing', 5, 0],
  ['an object: nothing', { kind: 'global' }, 0],
])('costs for %s', (_, value, cost) => {
  expect(() => left(cost).spendOn(value)).not.toThrow();
  if (cost > 0) expect(() => left(cost - 1).spendOn(value)).toThrow(FormatError);
});

it('costs for arguments what they and their items cost', () => {
  const args = ['nine char', new Map([['a', [1, 2, 3]]])]; // 2 + 2 + 2
  expect(() => left(6).spendOnArguments(args)).not.toThrow();
  expect(() => left(5).spendOnArguments(args)).toThrow(FormatError);
  expect(() => left(1).spendOnArguments(new Map([['a', 1]]))).toThrow(FormatError);
});
