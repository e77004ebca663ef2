/**
 * @file Writes THIRD-PARTY-NOTICES.md, the table of licences in docs/dependencies.md, and that of the designs in the README of
 * the avatar model, or checks them.
 *
 *     npm run notices
 *     npm run notices -- --check
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { styleTable } from './notices/avatars.ts';
import { dependencyTable, packageNotices } from './notices/third-party.ts';

const ROOT = join(import.meta.dirname, '..');
const TABLE = /(?<=<!-- written by npm run notices -->\n\n).*?(?=\n\n<!-- end -->)/s;

function documented(path: string, table: string): [path: string, text: string] {
  const text = readFileSync(path, 'utf8');
  if (!TABLE.test(text)) throw new Error(`${path}: expected the comments around the table of licences`);
  return [path, text.replace(TABLE, () => table)];
}

const check = process.argv.includes('--check');
const files = new Map([
  [join(ROOT, 'THIRD-PARTY-NOTICES.md'), packageNotices(ROOT)],
  documented(join(ROOT, 'docs/dependencies.md'), dependencyTable(ROOT)),
  documented(join(ROOT, 'models/avatars/README.md'), styleTable()),
]);
for (const [path, text] of files) {
  if (!check) writeFileSync(path, text);
  else if (readFileSync(path, 'utf8') !== text) {
    console.error(
      `${path} does not match the installed packages and the styles of avatars: run npm run notices`,
    );
    process.exitCode = 1;
  }
}
