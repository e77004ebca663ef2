/** Latents decoded in a real browser, by `acdit/browser`, as on Node. */

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAutoencoder } from '../../src/checkpoints/autoencoder.ts';
import { openModel } from '../../src/checkpoints/load.ts';
import { tokenSize } from '../../src/models/acdit/config.ts';
import { createAutoencoder } from '../../src/models/autoencoder/autoencoder.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { latentsToImages } from '../../src/sampling/latents-to-images.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { withoutChromium } from '../support/chromium.ts';
import { golden } from '../support/golden.ts';
import { type ModulePages, serveModule } from '../support/module-page.ts';

const model = golden('image-tiny.pt');
const vae = golden('vae-tiny');
const TOLERANCE = 1e-4;

describe.skipIf(withoutChromium())('decoding in Chromium', () => {
  let pages: ModulePages;
  let page: Page;

  beforeAll(async () => {
    pages = await serveModule('test/browser/decoding-page.ts', { 'model.pt': model, vae });
    page = await pages.open('decode');
  });
  afterAll(() => pages?.close());

  it.each(['files', 'address'])('gives the pixels that Node gives, opened by %s', async (from) => {
    const { config, archive } = await openModel(model);
    await archive.close();
    const shape = [1, config.blocks, config.blockSize, tokenSize(config)];
    const values = Generator.seeded(3).randn(shape.reduce((a, b) => a * b, 1));
    const device = openCpu();
    const autoencoder = await createAutoencoder({
      ...(await openAutoencoder(vae)),
      device,
      parts: ['decoder'],
    });
    const { data } = await latentsToImages(autoencoder, config, float32(shape, Float32Array.from(values)));
    await device.dispose();
    const decoded = (await page.evaluate(
      `decode('${from}', ${JSON.stringify(shape)}, ${JSON.stringify(Array.from(values))})`,
    )) as number[];
    expect(decoded).toHaveLength(data.length);
    expect(new Set(decoded).size).toBeGreaterThan(1000);
    expect(Math.max(...decoded.map((value, i) => Math.abs(value - data[i])))).toBeLessThan(TOLERANCE);
  });
});
