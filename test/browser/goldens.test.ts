/** The golden numbers of the official code, met in a real browser: on WebAssembly, and on WebGPU. */
// @module-tag slow

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Check } from '../../src/verification/index.ts';
import { SOFTWARE_WEBGPU, withoutChromium } from '../support/chromium.ts';
import { golden } from '../support/golden.ts';
import { type ModulePages, serveModule } from '../support/module-page.ts';

/** What the page gives. */
interface Verified {
  readonly device: string;
  readonly checks: readonly Check[];
}

/** Of WebGPU's products, which sum in another order. */
const WEBGPU_TOLERANCE = 2e-3;

describe.skipIf(withoutChromium())('golden numbers in Chromium', () => {
  let pages: ModulePages;

  beforeAll(async () => {
    const names = ['image-tiny.pt', 'image-tiny.npz', 'video-tiny.pt', 'video-tiny.npz'];
    const files = Object.fromEntries(names.map((name) => [`fixtures/${name}`, golden(name)]));
    pages = await serveModule('test/browser/goldens-page.ts', files, SOFTWARE_WEBGPU);
  });
  afterAll(() => pages?.close());

  async function verify(model: string, device: string, prefix: string, last = ''): Promise<Verified> {
    const page = await pages.open('verify');
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
