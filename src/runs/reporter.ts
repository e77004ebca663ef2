/** @file How a run reports to its caller: messages, events and progress. A terminal is one such caller. */

/** Where a run reports what happens. */
export interface Reporter {
  /** Reports what the run does, for a reader. */
  say(message: string): void;
  /** Reports how an option was read, such as which of two classes a name was taken for. */
  note(message: string): void;
  /** Reports what the caller should know, though the run continues. */
  warn(message: string): void;
  /** Reports an event, for a program. */
  emit(event: object): void;
  /** Begins to report the progress of some work. One is active at a time. */
  progress(work: WorkOptions): Progress;
}

/** Work that takes time. */
export interface WorkOptions {
  /** Steps of the whole work. */
  readonly total: number;
  /** Steps done before, as when training is resumed (default: 0). */
  readonly start?: number;
  /** Names the work, such as "train". */
  readonly label: string;
  /** What is counted, for the speed: "step" gives "2.1 steps/s" (default: step). */
  readonly unit?: string;
}

/** The progress of some work. */
export interface Progress {
  /** Reports that `done` steps of the total are done, with `fields` to show, such as `{ loss: '0.1' }`. */
  update(done: number, fields?: Readonly<Record<string, string>>): void;
  /** Ends the report with its last state. */
  finish(): void;
}

/** What every run takes: where it reports, and what ends it early. */
export interface RunContext {
  /** Gets messages, events and progress (default: nobody). */
  readonly report?: Reporter | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The context of a run with its defaults. */
export interface ActiveContext extends RunContext {
  readonly report: Reporter;
  readonly signal: AbortSignal;
}

/** A reporter that reports to nobody. */
export const silentReporter: Reporter = {
  say() {},
  note() {},
  warn() {},
  emit() {},
  progress: () => ({ update() {}, finish() {} }),
};

/** Returns the reporter and signal of a run, with defaults. */
export function contextOf({
  report = silentReporter,
  signal = new AbortController().signal,
}: RunContext): ActiveContext {
  return { report, signal };
}
