/** A module of a test as a page in Chromium. */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { launchChromium } from './chromium.ts';
import { serveFolder } from './static-server.ts';
import { buildModule } from './web-build.ts';

export interface ModulePages {
  /** Open the page, and wait until it has put a function of this name on its global object. */
  open(name: string): Promise<Page>;
  close(): Promise<void>;
}

/**
 * Build a module and serve it.
 * @param entry its path from the root of the repository.
 * @param files what is served beside it: where each is, by its address.
 * @param args of Chromium.
 */
export async function serveModule(
  entry: string,
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<ModulePages> {
  const folder = await mkdtemp(join(tmpdir(), 'acdit-page-'));
  await buildModule(entry, folder);
  const html = '<!doctype html><script type="module" src="./page.js"></script>';
  await writeFile(join(folder, 'index.html'), html);
  for (const [address, path] of Object.entries(files)) {
    await cp(path, join(folder, address), { recursive: true });
  }
  const browser = await launchChromium(args);
  const server = await serveFolder(folder);
  return {
    async open(name) {
      const page = await browser.newPage();
      await page.goto(server.url);
      await page.waitForFunction(`globalThis.${name}`);
      return page;
    },
    async close() {
      await browser.close();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
