/** The browser app on a server of `acdit serve`. */

import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../src/server/serve.ts';
import { launchChromium, withoutChromium } from '../support/chromium.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';
import { buildApp } from '../support/web-build.ts';

// The sampling process runs from its source too.
process.execArgv.push('--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href);

/** A field of a page, whose types are not those of Node. */
interface Validated {
  readonly validationMessage: string;
}

/** Names that are numbers, as folders are sorted: 1, 10, 11, ... */
const numbers = Array.from({ length: 30 }, (_, i) => String(i + 1)).sort();
const root = join(import.meta.dirname, '../..');

describe.skipIf(withoutChromium())('the app on a server', () => {
  let folder: string;
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  const asked: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'acdit-remote-'));
    await buildApp(folder);
    server = await startServer({
      models: [
        { path: join(root, 'models/fashion-mnist') },
        {
          path: await saveTiny(join(folder, 'numbered'), { ...tinyPixels, classes: 30, classNames: numbers }),
        },
      ],
      host: '127.0.0.1',
      port: 0,
      threads: 1,
      batch: 4,
      queue: 4,
      limits: { samples: 4, steps: 100, blocks: 64, body: 1e6, deadline: 60, videos: 1 },
      version: '0.0.0',
      log: () => {},
      web: folder,
    });
    browser = await launchChromium();
    page = await browser.newPage();
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(server.url);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close(0);
    await rm(folder, { recursive: true, force: true });
  });

  const done = () =>
    page
      .getByRole('status')
      .filter({ hasText: /^Done in .*\(the server\)/ })
      .waitFor();

  it('makes images there, and continues from their blocks', async () => {
    const chosen = page.getByRole('combobox', { name: 'Model' }).locator('option:checked');
    await chosen.filter({ hasText: 'fashion-mnist (on the server)' }).waitFor({ state: 'attached' });
    await page.getByRole('radio', { name: 'Bag' }).check();
    await page.getByRole('button', { name: 'Make an image' }).click();
    await done();
    await page.getByRole('slider', { name: 'Blocks to keep' }).fill('3');
    await page.getByRole('button', { name: 'Make the others again' }).click();
    await done();
    await expect.poll(() => page.locator('.gallery .item').count()).toBe(2);
    expect(asked.some((path) => /wasm|worker-|safetensors/.test(path))).toBe(false);
  });

  it('shows what the server refuses', async () => {
    await page.route('**/v1/acdit/stream', (route) =>
      route.continue({ postData: { ...route.request().postDataJSON(), steps: 1000 } }),
    );
    await page.getByRole('button', { name: 'Make an image' }).click();
    await page.getByRole('alert').filter({ hasText: 'steps' }).waitFor();
  });

  it('takes the name of a class before its number, says so, and makes nothing of an unknown class', async () => {
    await page.unrouteAll();
    await page.getByRole('combobox', { name: 'Model' }).selectOption({ label: 'numbered (on the server)' });
    const field = page.getByLabel('Class, by name or number');
    const make = page.getByRole('button', { name: 'Make an image' });
    const before = asked.length;
    await field.fill('nothing');
    await make.click();
    expect(await field.evaluate((input) => (input as unknown as Validated).validationMessage)).toContain(
      "unknown class 'nothing'",
    );
    expect(asked.slice(before)).toEqual([]);
    await field.fill('10');
    const request = page.waitForRequest('**/v1/acdit/stream');
    await make.click();
    expect(numbers[1]).toBe('10');
    expect((await request).postDataJSON()).toMatchObject({ prompt: 1 });
    await page
      .getByText("'10' is taken as the class named '10' (number 1), not as class number 10 ('19')")
      .waitFor();
  });
});
