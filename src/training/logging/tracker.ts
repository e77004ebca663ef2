/** @file Where training reports to: numbers and images by step. */

/** A log of a training. Steps are optimizer steps done: 1 is after the first. */
export interface Tracker {
  /** Numbers of one step, by name, such as `{ loss: 0.1 }`. */
  scalars(step: number, record: Readonly<Record<string, number>>): void;
  /** An image, as the bytes of a PNG file. */
  image(step: number, name: string, png: Uint8Array): void;
  /** Write what is outstanding; nothing may be logged after. */
  close(): void;
}
