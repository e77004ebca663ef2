/** @file Licences: which of them acdit may depend on, and their texts. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { get } from '../../src/at.ts';

const TEXTS = join(import.meta.dirname, 'texts');

/** SPDX identifiers whose terms acdit can meet, with their standard texts in `texts`; those without ask for no notice. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  '0BSD': [],
  'CC0-1.0': [],
  MIT: ['MIT'],
  ISC: ['ISC'],
  'BSD-2-Clause': ['BSD-2-Clause'],
  'BSD-3-Clause': ['BSD-3-Clause'],
  'BSL-1.0': ['BSL-1.0'],
  'Apache-2.0': ['Apache-2.0'],
  'LLVM-exception': ['LLVM-exception'],
  'MPL-1.1': ['MPL-1.1'],
  'MPL-2.0': ['MPL-2.0'],
  // The Lesser licence adds permissions to the General one, and both must be there.
  'LGPL-3.0-or-later': ['LGPL-3.0-or-later', 'GPL-3.0-or-later'],
};

/**
 * Reads an SPDX expression.
 * @param owner who is under the licence, for the message
 * @returns names of the standard texts of all its licences
 * @throws {Error} if there is none, or one that is not known
 */
export function standardTexts(licence: string, owner: string): string[] {
  const identifiers = licence.replace(/[()]/g, '').split(/ (?:AND|OR|WITH) /);
  return identifiers.flatMap((identifier) => {
    if (Object.hasOwn(KNOWN, identifier)) return get(KNOWN, identifier);
    throw new Error(
      `${owner}: expected a licence of ${Object.keys(KNOWN).join(', ')}; got ${licence || 'none'}; ` +
        'read its terms, and add it to scripts/notices/licences.ts if acdit may depend on it',
    );
  });
}

/** Removes the parentheses around a whole SPDX expression. */
export function withoutParentheses(licence: string): string {
  return licence.replace(/^\(([^()]*)\)$/, '$1');
}

/** Reads a standard text by its name. */
export function standardText(name: string): string {
  return readFileSync(join(TEXTS, `${name}.txt`), 'utf8').trimEnd();
}

/** Reads the licence and notice files of a package's folder, one after the other; empty if it has none. */
export function ownText(folder: string): string {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^(licen[cs]e|copying|notice)/i.test(entry.name))
    .map(({ name }) => readFileSync(join(folder, name), 'utf8'))
    .map((text) => text.split(/^#+ Licenses of bundled dependencies/m, 1).join())
    .map((text) => text.replace(/[ \t\r]+$/gm, '').replace(/^\n+|\n+$/g, ''))
    .join('\n\n');
}
