/** @file Opens what may end when it is needed, and again when it has ended. */

/** What may end at any time, such as a process. */
interface Mortal {
  readonly alive: boolean;
  dispose(): Promise<void>;
}

/** What is open when it is needed. */
export interface OnDemand<T> {
  /** Returns what is open, after opening it if nothing is. */
  get(): Promise<T>;
  /** Disposes of what is open. */
  dispose(): Promise<void>;
}

/** Opens at the first use, and at the next one after what was open has ended or could not be opened. */
export function onDemand<T extends Mortal>(open: () => T | Promise<T>): OnDemand<T> {
  let opened: T | undefined;
  let opening: Promise<T> | undefined;
  return {
    async get() {
      if (opened?.alive) return opened;
      opening ??= (async () => open())().finally(() => {
        opening = undefined;
      });
      opened = await opening;
      return opened;
    },
    async dispose() {
      await opening?.catch(() => {});
      await opened?.dispose();
    },
  };
}
