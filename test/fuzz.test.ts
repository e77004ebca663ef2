/**
 * @file A short run of the fuzzer, see docs/reliability.md: everything that reads what others wrote reads what is whole,
 * and refuses what is damaged with one of the package's errors. Cases that once went wrong come first.
 */

import { afterAll, describe, expect, it } from 'vitest';
import { caseSeed } from '../scripts/fuzz/random.ts';
import { openTargets, runCase } from '../scripts/fuzz/run.ts';
import cases from './fuzz-cases.json' with { type: 'json' };

const RUN_SEED = 20260101;
/** Cases of a reader; those of videos start a process each. */
const CASES = { video: 3, 'command line': 20 } as const;
const MAX_CASES = 60;

const { targets, close } = await openTargets();
afterAll(close);

describe.each(targets)('$name', (target) => {
  it('reads what is not damaged', async () => {
    await target.whole();
  });

  it.each(cases.filter(({ reader }) => reader === target.name))(
    'case $seed, which once went wrong',
    async ({ seed }) => {
      expect(await runCase(target, seed)).toBeUndefined();
    },
  );

  it('refuses what is damaged, or reads it', async () => {
    const count = CASES[target.name as keyof typeof CASES] ?? MAX_CASES;
    for (let i = 0; i < count; i++) expect(await runCase(target, caseSeed(RUN_SEED, i))).toBeUndefined();
  });
});

it('the cases that once went wrong are those of readers that there are', () => {
  const names = targets.map(({ name }) => name);
  expect(cases.map(({ reader }) => reader).filter((reader) => !names.includes(reader))).toEqual([]);
});
