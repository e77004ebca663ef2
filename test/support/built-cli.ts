/** @file The command line as built, for tests that start it as processes: it starts faster than its source. */

import { fileURLToPath } from 'node:url';

export const BUILT_CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
