/** @file The signals that ask a process to end (Node only). */

/** Ctrl-C, the system's request to end, and the end of the terminal or the connection that a command was started in. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Ignores the signals in a helper process. A terminal sends them to both processes, and the main one decides what
 * happens to the work.
 */
export function leaveStopSignalsToParent(): void {
  for (const signal of STOP_SIGNALS) process.on(signal, () => {});
}
