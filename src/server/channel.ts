/** @file From callbacks to an async iterator. */

export interface Channel<T> extends AsyncIterable<T> {
  push(value: T): void;
  /** No more values; what was pushed is still read. */
  end(): void;
  /** The same, and the reader then gets this error. */
  fail(error: unknown): void;
}

/** A channel for one reader, which may come later than the values. */
export function createChannel<T>(): Channel<T> {
  const values: T[] = [];
  let ending: { readonly error?: unknown } | undefined;
  let wake = (): void => {};
  const finish = (how: { readonly error?: unknown }): void => {
    ending ??= how;
    wake();
  };
  return {
    push(value) {
      if (ending) return;
      values.push(value);
      wake();
    },
    end: () => finish({}),
    fail: (error) => finish({ error }),
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (values.length > 0) yield values.shift()!;
        if (ending && 'error' in ending) throw ending.error;
        if (ending) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
