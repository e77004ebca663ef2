/** @file Actions that may fail, and what failures say. */

/** Returns the result of an action, or `otherwise` if it throws. */
export function attempt<Result, Other>(action: () => Result, otherwise: Other): Result | Other {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

/** Returns the message of an error, or any other thrown value as text. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
