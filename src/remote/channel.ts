/** @file From callbacks to an async iterator. */

/** Values for one reader, who may come later than they do. */
export type Channel<T, Result = void> = ReturnType<typeof createChannel<T, Result>>;

type Ending<Result> = { readonly result: Result } | { readonly error: unknown };

/** Makes an empty channel. */
export function createChannel<T, Result = void>() {
  const waiting: { readonly value: T; readonly taken: () => void }[] = [];
  let ending: Ending<Result> | undefined;
  let wake = (): void => {};
  const finish = (how: Ending<Result>): void => {
    ending ??= how;
    wake();
  };

  async function* read(): AsyncGenerator<T, Result, void> {
    for (;;) {
      const next = waiting.shift();
      if (next) {
        try {
          yield next.value;
        } finally {
          next.taken();
        }
      } else if (!ending) await new Promise<void>((resolve) => (wake = resolve));
      else if ('error' in ending) throw ending.error;
      else return ending.result;
    }
  }

  return {
    /** Adds a value. Resolves once the reader asks for the next one, or stops reading. */
    push(value: T): Promise<void> {
      if (ending) return Promise.resolve();
      return new Promise((taken) => {
        waiting.push({ value, taken });
        wake();
      });
    },
    /** Ends the channel after the values that were pushed. */
    end: (result: Result): void => finish({ result }),
    /** Ends the channel with an error after the values that were pushed. */
    fail: (error: unknown): void => finish({ error }),
    /** Reads the values in order, then returns the result or throws the error. */
    async *[Symbol.asyncIterator](): AsyncGenerator<T, Result, void> {
      try {
        return yield* read();
      } finally {
        finish({ error: new Error('the reader has left') });
        for (const { taken } of waiting.splice(0)) taken();
      }
    },
  };
}

/** Runs work that reports by callback, as a stream of what it pushes that ends with its result. */
export async function* streamOf<T, Result>(
  work: (push: (value: T) => Promise<void>) => Promise<Result>,
): AsyncGenerator<T, Result, void> {
  const channel = createChannel<T, Result>();
  work(channel.push).then(channel.end, channel.fail);
  return yield* channel;
}
