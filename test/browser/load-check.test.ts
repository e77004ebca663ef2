/** A model on a GPU of a browser is checked when it is loaded, and sampled on WebAssembly if the GPU computes wrongly. */
// @module-tag slow

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCpu } from '../../src/runtime/node.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { SOFTWARE_WEBGPU, withoutChromium } from '../support/chromium.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { relativeError } from '../support/golden.ts';
import { type ModulePages, serveModule } from '../support/module-page.ts';
import { tinyConfig } from '../support/tiny-config.ts';

/** What the page gives. */
interface Sampled {
  readonly messages: readonly string[];
  readonly device: string;
  readonly latents: readonly number[];
}

describe.skipIf(withoutChromium())('a check at load in Chromium', () => {
  let pages: ModulePages;
  beforeAll(async () => {
    pages = await serveModule('test/browser/load-check-page.ts', {}, SOFTWARE_WEBGPU);
  });
  afterAll(() => pages?.close());

  it.each([
    ['stays on a GPU that computes rightly', false, 'webgpu', 0],
    ['goes to WebAssembly from one that does not', true, 'wasm', 1],
  ])('%s', { timeout: 400_000 }, async (_, isWrong, device, count) => {
    const page = await pages.open('sample');
    const sampled = (await page.evaluate(`sample(${isWrong})`)) as Sampled;
    await page.close();
    expect(sampled.messages).toHaveLength(count);
    for (const message of sampled.messages) {
      expect(message).toMatch(
        /^fp32 on webgpu predicts noise that is .* off .*; fp32 on wasm is used instead$/,
      );
    }
    expect(sampled.device).toBe(device);
    const cpu = openCpu();
    const config = tinyConfig();
    const sampler = await createSampler({ config, weights: formulaWeights(config), device: cpu });
    const wanted = await finalLatents(sampler.sample({ labels: [1, 0], steps: 2, seed: 3 }));
    expect(relativeError(float32(wanted.shape, sampled.latents), wanted)).toBeLessThan(2e-3);
    await cpu.dispose();
  });
});
