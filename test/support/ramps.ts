import type { ImageDataset } from '../../src/data/dataset.ts';

/** Images of {@link ramps}. */
export const RAMPS = 11;

/** Image i is a ramp from left to right that begins at i / 16, with label i % 3; those in `corrupt` cannot be read. */
export function ramps(corrupt: readonly number[] = []): ImageDataset {
  return {
    name: 'ramps',
    size: RAMPS,
    sampleShape: [1, 1, 8, 8],
    classNames: ['a', 'b', 'c'],
    corruptCount: 0,
    fingerprint: async () => 'ramps',
    async read(index) {
      if (corrupt.includes(index)) return undefined;
      return {
        values: Float32Array.from({ length: 64 }, (_, i) => (index + (i % 8)) / 16),
        label: index % 3,
      };
    },
  };
}
