/** @file A bound on the work and memory that a pickle may cause: a byte can ask for as much as a megabyte can. */

import type { PickleReader } from './pickle-reader.ts';

/** Units that a pickle may spend. Optimizer states of thousands of tensors take some 300,000. */
const MAX_WORK = 8_000_000;

/** Characters or bytes that cost as much as an opcode. */
const TEXT_PER_UNIT = 8;

/** Counts down what a pickle may spend. */
export class PickleBudget {
  readonly #reader: PickleReader;
  #left = MAX_WORK;

  constructor(reader: PickleReader) {
    this.#reader = reader;
  }

  /** @throws {FormatError} if there is not that much left. */
  spend(units: number): void {
    this.#left -= units;
    if (this.#left < 0)
      throw this.#reader.problem('describes far more than a checkpoint does; it is malicious');
  }

  /** Pay for what a call or an object gets, which it may walk or copy. */
  spendOnArguments(value: unknown): void {
    this.spendOn(value);
    if (Array.isArray(value)) for (const item of value) this.spendOn(item);
  }

  /** Pay for something that is walked or copied as a whole. It may be shared, and so be paid for again and again. */
  spendOn(value: unknown): void {
    if (Array.isArray(value)) this.spend(value.length);
    else if (value instanceof Map) this.spend(2 * value.size);
    else if (typeof value === 'string' || value instanceof Uint8Array) {
      this.spend(Math.ceil(value.length / TEXT_PER_UNIT));
    }
  }
}
