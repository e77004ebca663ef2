/**
 * @file Seeded random numbers identical to PyTorch's CPU generator: the same seed gives the numbers of
 * `torch.manual_seed(seed)` followed by `rand`, `randn`, `randint` and `randperm` in the same order.
 */

import { float32At, int32At } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { seedFromKeys, seedFromNumber, twist, WORDS } from './mersenne-twister.ts';

/** Everything a generator remembers, as plain JSON: `Generator.fromState` continues bit for bit. */
export interface GeneratorState {
  /** The 624 words of the Mersenne Twister, each 0..2^32-1. */
  readonly words: readonly number[];
  /** Next word to hand out, 0..624; 624 means that all are used. */
  readonly position: number;
  /** The second value of the last Box-Muller pair drawn by a `randn` of fewer than 16 values, if unused. */
  readonly nextNormal: number | null;
}

/** `randn` of at least this many values takes the vectorised path, in groups of this size. */
const GROUP = 16;
const HALF = GROUP / 2;
const TWO_PI = Math.fround(2 * Math.PI);

/** PyTorch's CPU random generator (mt19937). Every method moves the one stream on. */
export class Generator {
  readonly #words: Uint32Array;
  #position = WORDS;
  #nextNormal: number | null = null;

  /**
   * The generator after `torch.manual_seed(seed)`. PyTorch's engine uses the low 32 bits only: for streams
   * from all 64 bits, or several from one seed, use {@link Generator.seeded}.
   * @param seed a safe integer, or a bigint, from -2^63 to 2^64-1.
   * @throws {ArgumentError} if the seed is not such an integer.
   */
  constructor(seed: number | bigint) {
    this.#words = seedFromNumber(Number(toWord64(seed, 'seed') & 0xffffffffn));
  }

  /**
   * An independent stream for `seed` and any integer keys, such as (seed, epoch, worker). The Mersenne
   * Twister is initialised by the array of the low and high 32-bit halves of the seed and then of each key
   * (`init_by_array` of Matsumoto and Nishimura), which is `numpy.random.RandomState([...])`. Other keys, or
   * another number of keys, give other streams; none equals that of `new Generator(seed)`.
   * @throws {ArgumentError} if the seed or a key is not an integer from -2^63 to 2^64-1.
   */
  static seeded(seed: number | bigint, ...keys: (number | bigint)[]): Generator {
    const halves = [seed, ...keys].flatMap((value, i) => {
      const word = toWord64(value, i === 0 ? 'seed' : `key ${i}`);
      return [Number(word & 0xffffffffn), Number(word >> 32n)];
    });
    const generator = new Generator(0);
    generator.#words.set(seedFromKeys(halves));
    return generator;
  }

  /**
   * The generator that {@link Generator.state} was taken from.
   * @throws {ArgumentError} if the state is damaged.
   */
  static fromState(state: GeneratorState): Generator {
    checkState(state);
    const generator = new Generator(0);
    generator.#words.set(state.words);
    generator.#position = state.position;
    generator.#nextNormal = state.nextNormal;
    return generator;
  }

  /** A copy of the present state. */
  state(): GeneratorState {
    return { words: Array.from(this.#words), position: this.#position, nextNormal: this.#nextNormal };
  }

  /** `torch.rand(n)`: uniform in [0, 1), multiples of 2^-24. */
  rand(n: number): Float32Array {
    const out = new Float32Array(checkCount('rand', n));
    this.#fillUniform(out);
    return out;
  }

  /**
   * `torch.randn(n)`: standard normal. As in PyTorch, fewer than 16 values are drawn one by one in double
   * precision, and the unused half of a pair waits for the next such call; 16 or more are drawn by groups.
   */
  randn(n: number): Float32Array {
    const out = new Float32Array(checkCount('randn', n));
    if (n < GROUP) {
      for (let i = 0; i < n; i++) out[i] = this.#normal();
      return out;
    }
    this.#fillUniform(out);
    for (let start = 0; start + GROUP <= n; start += GROUP) boxMuller(out, start);
    if (n % GROUP !== 0) {
      // PyTorch draws the last 16 values again, over part of the last whole group.
      this.#fillUniform(out.subarray(n - GROUP));
      boxMuller(out, n - GROUP);
    }
    return out;
  }

  /**
   * `torch.randint(low, high, (n,))`: integers from low to high-1. A range of 2^32 or more draws 64 bits
   * for each, as PyTorch before 2.7 (later versions already do from 2^28 on).
   * @throws {ArgumentError} if the bounds are not safe integers or the range is empty or beyond 2^53-1.
   */
  randint(low: number, high: number, n: number): number[] {
    const range = high - low;
    if (![low, high, range].every(Number.isSafeInteger) || range <= 0) {
      throw new ArgumentError(`randint: expected integers low < high, got low ${low} and high ${high}`);
    }
    const out = new Array<number>(checkCount('randint', n));
    for (let i = 0; i < n; i++) out[i] = low + this.#below(range);
    return out;
  }

  /**
   * `torch.randperm(n)`: a random order of 0..n-1.
   * @throws {ArgumentError} if n is not an integer from 0 to 2^31-1.
   */
  randperm(n: number): Int32Array {
    const out = new Int32Array(checkCount('randperm', n));
    for (let i = 0; i < n; i++) out[i] = i;
    const drawn = n < Math.floor(0xffffffff / 20) ? () => this.#next32() : () => this.#next64();
    for (let i = 0; i < n - 1; i++) {
      const other = i + remainder(drawn(), n - i);
      const saved = int32At(out, i);
      out[i] = int32At(out, other);
      out[other] = saved;
    }
    return out;
  }

  /** The next tempered word, 0..2^32-1. */
  #next32(): number {
    if (this.#position === WORDS) {
      twist(this.#words);
      this.#position = 0;
    }
    let y = this.#words[this.#position++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** Two words, the first one high. */
  #next64(): bigint {
    const high = this.#next32();
    return (BigInt(high) << 32n) | BigInt(this.#next32());
  }

  #below(range: number): number {
    return remainder(range < 2 ** 32 ? this.#next32() : this.#next64(), range);
  }

  /** Uniform double in [0, 1): the low 53 of 64 bits. */
  #uniform53(): number {
    const high = this.#next32() & 0x1fffff;
    return (high * 2 ** 32 + this.#next32()) * 2 ** -53;
  }

  #fillUniform(out: Float32Array): void {
    for (let i = 0; i < out.length; i++) out[i] = (this.#next32() & 0xffffff) * 2 ** -24;
  }

  /** One normal value in double precision; its pair is kept for the next call. */
  #normal(): number {
    const waiting = this.#nextNormal;
    if (waiting !== null) {
      this.#nextNormal = null;
      return waiting;
    }
    const theta = 2 * Math.PI * this.#uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform53()));
    this.#nextNormal = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }
}

/** Turn 16 uniform values into 16 normal ones in place; angles and radii rounded to float32 as PyTorch's are. */
function boxMuller(values: Float32Array, start: number): void {
  for (let i = start; i < start + HALF; i++) {
    const radius = Math.fround(Math.sqrt(-2 * Math.fround(Math.log(1 - float32At(values, i)))));
    const theta = Math.fround(TWO_PI * float32At(values, i + HALF));
    values[i] = radius * Math.cos(theta);
    values[i + HALF] = radius * Math.sin(theta);
  }
}

function remainder(value: number | bigint, range: number): number {
  return typeof value === 'number' ? value % range : Number(value % BigInt(range));
}

/** An integer as 64 bits, negative ones in two's complement. */
function toWord64(value: number | bigint, what: string): bigint {
  const valid = typeof value === 'bigint' || Number.isSafeInteger(value);
  const word = valid ? BigInt(value) : 2n ** 64n;
  if (word < -(2n ** 63n) || word >= 2n ** 64n) {
    throw new ArgumentError(
      `Generator: ${what} must be an integer from -2^63 to 2^64-1 (a bigint beyond 2^53), got ${value}`,
    );
  }
  return BigInt.asUintN(64, word);
}

function checkCount(name: string, n: number): number {
  if (!Number.isInteger(n) || n < 0 || n > 0x7fffffff) {
    throw new ArgumentError(`${name}: the number of values must be an integer from 0 to 2^31-1, got ${n}`);
  }
  return n;
}

function checkState({ words, position, nextNormal }: GeneratorState): void {
  const isWord = (word: number) => Number.isInteger(word) && word >= 0 && word <= 0xffffffff;
  if (words?.length !== WORDS || !words.every(isWord)) {
    throw new ArgumentError(
      `Generator: a state needs ${WORDS} words of 32 bits, got ${words?.length} values`,
    );
  }
  if (!Number.isInteger(position) || position < 0 || position > WORDS) {
    throw new ArgumentError(`Generator: a state's position must be 0 to ${WORDS}, got ${position}`);
  }
  if (nextNormal !== null && !Number.isFinite(nextNormal)) {
    throw new ArgumentError(`Generator: a state's nextNormal must be a number or null, got ${nextNormal}`);
  }
}
