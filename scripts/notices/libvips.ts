/** @file The libraries in sharp's libvips, as its package lists them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Part } from './bundled.ts';

/** Libraries whose key in `versions.json` is not their name without `lib`. */
const KEYS: Readonly<Record<string, string>> = { libultrahdr: 'uhdr' };

/**
 * Reads the table of licences of an installed `@img/sharp-libvips-…`.
 * @throws {Error} if there is none in its README
 */
export function libvipsParts(folder: string): Part[] {
  const readme = readFileSync(join(folder, 'README.md'), 'utf8');
  const versions: Readonly<Record<string, string>> = JSON.parse(
    readFileSync(join(folder, 'versions.json'), 'utf8'),
  );
  // The first two rows are the heads of the columns and a line.
  const rows = [...readme.matchAll(/^\| *([\w-]+) *\| *(.+?) *\|$/gm)].slice(2);
  const parts = rows.map(([, name = '', licence = '']) => {
    const version = versions[KEYS[name] ?? name] ?? versions[name.replace(/^lib/, '')];
    return { name: version === undefined ? name : `${name} ${version}`, licence };
  });
  if (!parts.some(({ name, licence }) => name.startsWith('libvips ') && licence === 'LGPLv3')) {
    throw new Error(
      `${folder}/README.md: expected a table with the licence of libvips and of what it contains`,
    );
  }
  return parts;
}
