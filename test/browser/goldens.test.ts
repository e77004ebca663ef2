/** The golden numbers of the official code, met in a real browser: on WebAssembly, and on WebGPU. */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Check } from '../../src/verification/index.ts';
import { launchChromium, SOFTWARE_WEBGPU, withoutChromium } from '../support/chromium.ts';
import { type StaticServer, serveFolder } from '../support/static-server.ts';
import { buildModule } from '../support/web-build.ts';

/** What the page gives. */
interface Verified {
  readonly device: string;
  readonly checks: readonly Check[];
}

/** Of WebGPU's products, which sum in another order. */
const WEBGPU_TOLERANCE = 2e-3;

describe.skipIf(withoutChromium())('golden numbers in Chromium', () => {
  let folder: string;
  let server: StaticServer;
  let browser: Browser;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'acdit-goldens-'));
    await buildModule('test/browser/goldens-page.ts', folder);
    await writeFile(
      join(folder, 'index.html'),
      '<!doctype html><script type="module" src="./page.js"></script>',
    );
    for (const name of ['image-tiny', 'video-tiny']) {
      for (const file of [`${name}.pt`, `${name}.npz`]) {
        await cp(join(import.meta.dirname, '../fixtures/golden', file), join(folder, 'fixtures', file));
      }
    }
    server = await serveFolder(folder);
    browser = await launchChromium(SOFTWARE_WEBGPU);
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function verify(model: string, device: string, prefix: string, last = ''): Promise<Verified> {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction('globalThis.verify');
    const verified = await page.evaluate(`verify('${model}', '${device}', '${prefix}', '${last}')`);
    await page.close();
    return verified as Verified;
  }

  it.each(['image-tiny', 'video-tiny'])('%s on WebAssembly', async (model) => {
    const { device, checks } = await verify(model, 'wasm', '');
    expect(device).toBe('wasm');
    expect(checks.length).toBeGreaterThan(40);
    expect(checks.filter(({ passed }) => !passed)).toEqual([]);
  });

  it.each([
    ['training', 'image-tiny', 'train', ''],
    ['training', 'video-tiny', 'train', ''],
    ['sampling from', 'image-tiny', 'sample', 'sample.latents'],
    ['sampling from', 'video-tiny', 'sample', 'sample.latents'],
  ])('%s %s on WebGPU', { timeout: 400_000 }, async (_, model, prefix, last) => {
    const { device, checks } = await verify(model, 'webgpu', prefix, last);
    expect(device).toBe('webgpu');
    if (last) expect(checks.at(-1)?.name).toBe(last);
    expect(checks.length).toBeGreaterThan(5);
    expect(checks.filter(({ error }) => !(error <= WEBGPU_TOLERANCE))).toEqual([]);
  });
});
