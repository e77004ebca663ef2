/** @file The flag that limits the size of images and frames. */

import { MAXIMUM_PIXELS } from '../media/image.ts';
import type { Flags } from './flags.ts';
import { wholeNumber } from './values.ts';

export const pixelFlags = {
  'max-pixels': {
    value: 'N',
    parse: wholeNumber(),
    help: `max pixels of an image or a video frame (default: ${MAXIMUM_PIXELS})`,
  },
} as const satisfies Flags;
