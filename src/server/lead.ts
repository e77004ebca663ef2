/** @file How far one who sends may be ahead of one who reads: as far as there is memory for. */

export interface Lead {
  /** One more was sent. Resolves when the reader is near enough for the next. */
  sent(): Promise<void>;
  /** So many more were read. */
  read(count: number): void;
}

/** @param most that may be sent and not yet read. */
export function createLead(most: number): Lead {
  let ahead = 0;
  let wake = (): void => {};
  return {
    async sent() {
      ahead++;
      while (ahead >= most) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    read(count) {
      ahead -= count;
      wake();
    },
  };
}
