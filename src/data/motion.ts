/** @file Motion at a constant speed in a box whose walls reflect, as in the moving MNIST of Srivastava et al. (2015). */

import { take } from '../at.ts';
import type { Generator } from '../tensor/generator.ts';

/** Pixels from the top and from the left. */
export type Place = readonly [top: number, left: number];

/** Where a point on a line of length `room` is, were it at `distance` without walls at 0 and `room`. */
export function reflect(distance: number, room: number): number {
  if (room <= 0) return 0;
  const period = 2 * room;
  const phase = ((distance % period) + period) % period;
  return Math.min(phase, period - phase);
}

/**
 * Whole-pixel places in `frames` frames, from 0 to `room` each; start, direction and speed are uniform. Draws four
 * numbers.
 * @param speed the slowest and the fastest, in pixels a frame.
 */
export function randomPath(
  frames: number,
  [roomBelow, roomRight]: Place,
  [slowest, fastest]: readonly [number, number],
  generator: Generator,
): Place[] {
  const [top, left, turn, pace] = take([...generator.rand(4)], 4);
  const speed = slowest + pace * (fastest - slowest);
  const down = speed * Math.sin(2 * Math.PI * turn);
  const right = speed * Math.cos(2 * Math.PI * turn);
  return Array.from({ length: frames }, (_, t) => [
    Math.round(reflect(top * roomBelow + t * down, roomBelow)),
    Math.round(reflect(left * roomRight + t * right, roomRight)),
  ]);
}
