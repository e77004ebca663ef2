/** Calls at once on shared objects in a real browser: as alone, bit for bit on WebAssembly and nearly so on WebGPU. */
// @module-tag slow

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SOFTWARE_WEBGPU, withoutChromium } from '../support/chromium.ts';
import { type ModulePages, serveModule } from '../support/module-page.ts';

describe.skipIf(withoutChromium())('calls at once in Chromium', () => {
  let pages: ModulePages;

  beforeAll(async () => {
    pages = await serveModule('test/browser/concurrent-page.ts', {}, SOFTWARE_WEBGPU);
  });
  afterAll(() => pages?.close());

  it.each([
    ['wasm', 0],
    ['webgpu', 1e-5],
  ])('give what each gives alone, on %s', { timeout: 400_000 }, async (device, tolerance) => {
    const page = await pages.open('concurrent');
    const result = (await page.evaluate(`concurrent('${device}')`)) as Record<string, Record<string, number>>;
    await page.close();
    const cells = Object.entries(result).flatMap(([pair, cases]) =>
      Object.entries(cases).map(([how, difference]) => ({ pair, how, difference })),
    );
    expect(cells).toHaveLength(12);
    expect(cells.filter(({ difference }) => !(difference <= tolerance))).toEqual([]);
  });
});
