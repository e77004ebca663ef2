/**
 * @file The state of the Mersenne Twister mt19937: seeding and twisting 624 words.
 * Source: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998), and their mt19937ar.
 */

import { at, uint32At } from '../at.ts';

/** Words of state. */
export const WORDS = 624;
/** Distance of the word that is mixed in. */
const SHIFT = 397;
const MATRIX = 0x9908b0df;

/** State from one 32-bit seed (`init_genrand`), as PyTorch seeds it. */
export function seedFromNumber(seed: number): Uint32Array {
  const words = new Uint32Array(WORDS);
  words[0] = seed;
  for (let i = 1; i < WORDS; i++) words[i] = Math.imul(1812433253, mixed(uint32At(words, i - 1))) + i;
  return words;
}

/** Where the mixing of keys begins. */
const KEYLESS = seedFromNumber(19650218);

/** State from any number of 32-bit keys (`init_by_array`), as numpy's RandomState seeds it. */
export function seedFromKeys(keys: readonly number[]): Uint32Array {
  const words = KEYLESS.slice();
  let i = 1;
  const mix = (multiplier: number, addend: number) => {
    words[i] = (uint32At(words, i) ^ Math.imul(mixed(uint32At(words, i - 1)), multiplier)) + addend;
    if (++i === WORDS) {
      words[0] = uint32At(words, WORDS - 1);
      i = 1;
    }
  };
  for (let k = 0; k < Math.max(WORDS, keys.length); k++) {
    const j = k % keys.length;
    mix(1664525, at(keys, j) + j);
  }
  for (let k = 1; k < WORDS; k++) mix(1566083941, -i);
  words[0] = 0x80000000;
  return words;
}

function mixed(word: number): number {
  return word ^ (word >>> 30);
}

/** Replace all words by the next 624, in place. */
export function twist(words: Uint32Array): void {
  let k = 0;
  for (; k < WORDS - SHIFT; k++) words[k] = words[k + SHIFT]! ^ twisted(words[k]!, words[k + 1]!);
  for (; k < WORDS - 1; k++) words[k] = words[k + SHIFT - WORDS]! ^ twisted(words[k]!, words[k + 1]!);
  words[k] = words[SHIFT - 1]! ^ twisted(words[k]!, words[0]!);
}

function twisted(word: number, next: number): number {
  return (((word & 0x80000000) | (next & 0x7fffffff)) >>> 1) ^ (next & 1 ? MATRIX : 0);
}
