/** @file Flags that several commands have. */

import { MAXIMUM_PIXELS } from '../media/image.ts';
import type { Flags } from './flags.ts';
import { countFlag } from './values.ts';

/** Lets a command replace existing files. */
export const overwriteFlags = {
  overwrite: { help: 'replace output files that exist' },
} as const satisfies Flags;

/** Limits the size of images and frames. */
export const pixelFlags = {
  'max-pixels': countFlag(`max pixels of an image or a video frame (default: ${MAXIMUM_PIXELS})`),
} as const satisfies Flags;

/** Choose what a run reports; see {@link defineCommand}. */
export const reportFlags = {
  quiet: { help: 'no progress' },
  json: { help: 'print events as JSON lines, without a progress bar' },
} as const satisfies Flags;
