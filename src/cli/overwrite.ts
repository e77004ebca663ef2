/** @file The flag that lets a command replace existing files. */

import type { Flags } from './flags.ts';

export const overwriteFlags = {
  overwrite: { help: 'replace output files that exist' },
} as const satisfies Flags;
