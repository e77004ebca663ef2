/** @file The version of this package. */

import { readFile } from 'node:fs/promises';

/** The version in its package.json; `src/cli` and `dist/cli` are equally deep in it. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
