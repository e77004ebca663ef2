import { expect, it } from 'vitest';
import { formatBytes, formatDuration } from './quantities.ts';

it.each([
  [0.4, '0s'],
  [59.6, '1m00s'],
  [185, '3m05s'],
  [7620, '2h07m'],
  [97200, '1d03h'],
])('formatDuration(%d) is %s', (seconds, expected) => {
  expect(formatDuration(seconds)).toBe(expected);
});

it.each([
  [512, '512 bytes'],
  [45_400, '45 kB'],
  [12_340_000, '12.3 MB'],
  [2.66e9, '2.7 GB'],
])('formatBytes(%d) is %s', (bytes, expected) => {
  expect(formatBytes(bytes)).toBe(expected);
});
