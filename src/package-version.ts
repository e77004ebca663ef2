/** @file The version of this package. */

import { readFileSync } from 'node:fs';

/** Returns the version in the package's package.json; `src` and `dist` are equally deep in it. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
