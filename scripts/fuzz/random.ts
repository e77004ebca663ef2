/** @file Reproducible random numbers of the fuzzer. */

import { at } from '../../src/at.ts';

/** Random numbers from a seed: the same in every run. */
export interface Random {
  /** An integer in [0, limit). */
  below(limit: number): number;
  /** One of the given values. */
  pick<T>(values: readonly T[]): T;
  /** True with probability 1 / `n`. */
  oneIn(n: number): boolean;
}

/** Returns random numbers of the generator mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    return mixed(state) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return { below, pick: (values) => at(values, below(values.length)), oneIn: (n) => below(n) === 0 };
}

/** Returns the seed of a case in a run, so that each case can be repeated alone. */
export function caseSeed(runSeed: number, index: number): number {
  return mixed((Math.imul(runSeed, 0x9e3779b1) + Math.imul(index, 0x85ebca6b)) | 0);
}

function mixed(state: number): number {
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (t ^ (t >>> 14)) >>> 0;
}
