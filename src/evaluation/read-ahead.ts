/** @file Samples read in batches, the next one while the last is at work. */

/** What `read` gives for 0 to `count`, so many at once, in order. */
export async function* readAhead<T>(
  count: number,
  size: number,
  read: (index: number) => Promise<T>,
): AsyncGenerator<T[], void> {
  const readFrom = (start: number) =>
    settled(Array.from({ length: Math.min(size, count - start) }, (_, i) => read(start + i)));
  let next = readFrom(0);
  for (let start = 0; start < count; start += size) {
    const results = (await next)();
    next = readFrom(Math.min(start + size, count));
    yield results;
  }
}

/** All results when they are asked for, or the first failure, which is not lost if they never are. */
async function settled<T>(work: readonly Promise<T>[]): Promise<() => T[]> {
  const results = await Promise.allSettled(work);
  return () =>
    results.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
}
