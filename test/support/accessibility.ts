/** Faults that axe finds in a page. */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type axe from 'axe-core';
import type { Page } from 'playwright-core';

const source = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** A line for each fault, and for each element that has it. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(source, 'utf8'));
  const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}
