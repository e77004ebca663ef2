/** @file The terminal of a command. */

/** The part of a stream that is used; `process.stderr` is one. */
export interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Where a command writes, and what stops it. */
export interface Terminal {
  /** Results. */
  readonly stdout: TerminalStream;
  /** Progress and problems. */
  readonly stderr: TerminalStream;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}
