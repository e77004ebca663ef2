/**
 * @file Writes THIRD-PARTY-NOTICES.md and the table of licences in docs/dependencies.md, or checks them.
 *
 *     npm run notices
 *     npm run notices -- --check
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dependencyTable, packageNotices } from './notices/third-party.ts';

const ROOT = join(import.meta.dirname, '..');
const TABLE = /(?<=<!-- written by npm run notices -->\n\n).*?(?=\n\n<!-- end -->)/s;

function documented(path: string): string {
  const text = readFileSync(path, 'utf8');
  if (!TABLE.test(text)) throw new Error(`${path}: expected the comments around the table of licences`);
  return text.replace(TABLE, () => dependencyTable(ROOT));
}

const check = process.argv.includes('--check');
const docs = join(ROOT, 'docs/dependencies.md');
const files = new Map([
  [join(ROOT, 'THIRD-PARTY-NOTICES.md'), packageNotices(ROOT)],
  [docs, documented(docs)],
]);
for (const [path, text] of files) {
  if (!check) writeFileSync(path, text);
  else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${path} does not match the installed packages: run npm run notices`);
    process.exitCode = 1;
  }
}
