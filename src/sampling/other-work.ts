/** @file Giving way: a loop that awaits only promises of its own lets no messages, timers or requests in. */

/** Lets everything else that is ready go first. */
export function otherWork(): Promise<void> {
  // Browsers have no setImmediate.
  return new Promise((resolve) =>
    typeof setImmediate === 'function' ? setImmediate(resolve) : setTimeout(resolve, 0),
  );
}
