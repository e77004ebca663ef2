/**
 * @file Builds the documentation's site into docs-site/dist, or serves it while documents are edited:
 *
 *     npm run docs
 *     npm run docs -- --base /acdit/    # to be served from a folder
 *     npm run docs:dev
 */

import { rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, createServer } from 'vitepress';
import { siteFaults } from './check-site.ts';
import { writeDiagrams } from './diagrams/diagrams.ts';
import { writePages } from './pages.ts';
import { DIST, PAGES, ROOT, SITE } from './paths.ts';
import { writeReference } from './reference.ts';

const { values } = parseArgs({
  options: { base: { type: 'string', default: '/' }, dev: { type: 'boolean', default: false } },
});

rmSync(PAGES, { recursive: true, force: true });
writeDiagrams(join(ROOT, 'docs/images/method'));
await writeReference({ strict: !values.dev });
report(writePages());
if (values.dev) await serve();
else await buildSite();

async function serve(): Promise<void> {
  const server = await createServer(SITE, { base: values.base });
  await server.listen();
  server.printUrls();
  for (const documents of ['docs', 'README.md', 'CHANGELOG.md']) {
    watch(join(ROOT, documents), () => report(writePages()));
  }
}

async function buildSite(): Promise<void> {
  if (process.exitCode) return;
  await build(SITE, { base: values.base });
  report(siteFaults(DIST, values.base));
  if (!process.exitCode) console.log('The site is in docs-site/dist; all its links and anchors are there');
}

function report(faults: readonly string[]): void {
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
}
