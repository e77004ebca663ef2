/** @file The flag that limits the size of images and frames. */

import { MAXIMUM_PIXELS } from '../media/image.ts';
import type { Flags, FlagValues } from './flags.ts';
import { wholeNumber } from './values.ts';

export const pixelFlags = {
  'max-pixels': {
    type: 'string',
    value: 'N',
    help: `max pixels of an image or a video frame (default: ${MAXIMUM_PIXELS})`,
  },
} as const satisfies Flags;

/** Returns the limit, if one was given. @throws {ArgumentError} if it is not a whole number. */
export function maxPixelsOf(values: FlagValues<typeof pixelFlags>): number | undefined {
  const text = values['max-pixels'];
  return text === undefined ? undefined : wholeNumber('max-pixels', text);
}
