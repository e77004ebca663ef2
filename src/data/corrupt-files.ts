/** @file Keeps count of a dataset's corrupt files and says when they are too many. */

import { DatasetError } from '../errors.ts';

export interface CorruptFilesOptions {
  /** Share of corrupt files, of those read so far but at least 40, above which reading fails; default 0.05. */
  readonly maximumCorruptShare?: number;
  /** Told once of each corrupt file. */
  readonly warn?: (message: string) => void;
}

/** The share is taken of at least this many files: two corrupt ones, early or in a small set, do not stop a training. */
const MINIMUM_READS = 40;

/** What is known of a file. */
const UNREAD = 0;
const GOOD = 1;
const CORRUPT = 2;

export class CorruptFiles {
  count = 0;
  #read = 0;
  readonly #name: string;
  readonly #unit: string;
  readonly #state: Uint8Array;
  readonly #limit: number;
  readonly #warn: (message: string) => void;

  /** @param unit what the files are, such as `images`. */
  constructor(name: string, size: number, unit: string, options: CorruptFilesOptions) {
    this.#name = name;
    this.#unit = unit;
    this.#state = new Uint8Array(size);
    this.#limit = options.maximumCorruptShare ?? 0.05;
    this.#warn = options.warn ?? (() => {});
  }

  /**
   * Returns what is read of a file; undefined if it is corrupt: if it was found to be, or cannot be read.
   * @param blames says whether an error means that the file is corrupt; others are passed on.
   */
  async attempt<T>(
    index: number,
    file: string,
    read: () => Promise<T>,
    blames: (error: unknown) => boolean = () => true,
  ): Promise<T | undefined> {
    if (this.#state[index] === CORRUPT) return undefined;
    try {
      const value = await read();
      this.markGood(index);
      return value;
    } catch (error) {
      if (!blames(error)) throw error;
      this.mark(index, file, error as Error);
      return undefined;
    }
  }

  markGood(index: number): void {
    if (this.#state[index] === UNREAD) this.#read++;
    this.#state[index] = GOOD;
  }

  /** @throws {DatasetError} if they are too many now. */
  mark(index: number, file: string, reason: Error): void {
    if (this.#state[index] === CORRUPT) return;
    if (this.#state[index] === UNREAD) this.#read++;
    this.#state[index] = CORRUPT;
    this.count++;
    this.#warn(`skipped ${reason.message.startsWith(file) ? '' : `${file}: `}${reason.message}`);
    if (this.count > this.#limit * Math.max(this.#read, MINIMUM_READS)) {
      throw new DatasetError(
        `${this.#name}: ${this.count} of the ${this.#read} ${this.#unit} read so far are corrupt, ` +
          `at most ${this.#limit * 100}% may be (last: ${file}); repair or remove them`,
      );
    }
  }
}
