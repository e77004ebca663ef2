/** The browser app in a real browser, with no server but one of plain files. */
// @module-tag slow

import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { enlarge, readImage } from '../../src/media/image.ts';
import { framesOf } from '../../src/media/pixels.ts';
import { unpatchify } from '../../src/models/acdit/layout.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { createSampler, finalLatents, type SampleRequest } from '../../src/sampling/sampler.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { accessibilityFaults } from '../support/accessibility.ts';
import { launchChromium, withoutChromium } from '../support/chromium.ts';
import { type StaticServer, serveFolder } from '../support/static-server.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';
import { buildApp } from '../support/web-build.ts';

const root = join(import.meta.dirname, '../..');
/** Bytes of what a page loads before anything is asked for, uncompressed. */
const FIRST_PAINT_BYTES = 100_000;

/** What the gallery keeps. */
interface Kept {
  readonly order: {
    readonly label: number;
    readonly steps: number;
    readonly cfg: number;
    readonly seed: number;
  };
  readonly values: readonly number[];
}

/** Run in the page: the newest entry of the gallery. */
const READ_NEWEST = `(async () => {
  const ended = (request) => new Promise((resolve) => request.addEventListener('success', () => resolve(request.result)));
  const database = await ended(indexedDB.open('acdit'));
  const all = await ended(database.transaction('pictures').objectStore('pictures').getAll());
  const { order, values } = all.sort((a, b) => b.time - a.time)[0];
  return { order, values: Array.from(values) };
})()`;

describe.skipIf(withoutChromium())('the app in Chromium', () => {
  let folder: string;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'acdit-app-'));
    await buildApp(folder);
    server = await serveFolder(folder, { isolated: false });
    browser = await launchChromium();
    context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
    context.setDefaultTimeout(90_000); // for busy machines
    page = await context.newPage();
    await page.goto(`${server.url}?device=wasm`);
    await choose('fashion-mnist');
    await button('Make an image').waitFor();
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const button = (name: string) => page.getByRole('button', { name, exact: true });
  const status = () => page.locator('.making').getByRole('status');
  const done = () =>
    status()
      .filter({ hasText: /^Done in/ })
      .waitFor();
  const set = (label: string, value: number) =>
    page.getByRole('slider', { name: label }).first().fill(String(value));
  const choose = (model: string) => page.getByRole('combobox', { name: 'Model' }).selectOption(model);
  const preset = () => page.getByRole('combobox', { name: 'Preset' });
  const setSteps = async (steps: number): Promise<void> => {
    if ((await preset().count()) > 0) await preset().selectOption('exact');
    await set('Steps per block', steps);
  };

  const newest = async (): Promise<Kept> => (await page.evaluate(READ_NEWEST)) as Kept;

  const drop = async (files: readonly (readonly [name: string, content: Buffer])[]): Promise<void> => {
    const given = files.map(([name, content]) => [name, content.toString('base64')]);
    await page.evaluate(`(() => {
      const data = new DataTransfer();
      for (const [name, text] of ${JSON.stringify(given)}) {
        data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
      }
      dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
    })()`);
  };

  it('paints without the runtime or a model', async () => {
    expect(server.asked.filter((path) => /wasm|mjs|worker-|safetensors|ort/.test(path))).toEqual([]);
    const named = [...new Set(server.asked)].filter((path) => path.startsWith('/assets/'));
    const sizes = await Promise.all(named.map(async (path) => (await stat(join(folder, path))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(FIRST_PAINT_BYTES);
    const all = await readdir(join(folder, 'assets'));
    expect(all.some((name) => name.endsWith('.wasm'))).toBe(true);
  });

  it('makes the image that Node makes', async () => {
    await page.getByRole('radio', { name: 'Sneaker' }).check();
    await setSteps(4);
    await page.getByRole('spinbutton', { name: 'Seed' }).fill('7');
    await button('Make an image').click();
    await page.locator('.plan .lit').first().waitFor();
    await done();
    const { order, values } = await newest();
    expect(order).toMatchObject({ label: 7, steps: 4, seed: 7 });
    const expected = await sampleOnNode('fashion-mnist', { labels: [7], steps: 4, cfg: order.cfg, seed: 7 });
    expect(largestDifference(values, expected)).toBeLessThan(1e-3);
  });

  it('makes the image that Node makes with the preset fast', async () => {
    await preset().selectOption('fast');
    await expect.poll(() => page.getByRole('slider').count()).toBe(1); // the blocks to keep
    await button('Make an image').click();
    await done();
    const { order, values } = await newest();
    const solver = JSON.parse(await readFile(join(root, 'models/fashion-mnist/solver.json'), 'utf8'));
    const steps = solver.defaultSteps;
    expect(order).toEqual({ model: 'fashion-mnist', label: 7, seed: 7, preset: 'fast', steps });
    const expected = await sampleOnNode('fashion-mnist', { labels: [7], preset: 'fast', seed: 7 });
    expect(largestDifference(values, expected)).toBeLessThan(1e-3);
  });

  it('keeps blocks and makes the others again', async () => {
    const before = await newest();
    await set('Blocks to keep', 2);
    await button('Make the others again').click();
    await done();
    const after = await newest();
    const half = before.values.length / 2;
    expect(after.values.slice(0, half)).toEqual(before.values.slice(0, half));
    expect(largestDifference(after.values.slice(half), before.values.slice(half))).toBeGreaterThan(0.01);
    expect(after.order.seed).not.toBe(before.order.seed);
  });

  it('chooses blocks to keep by pointer', async () => {
    const cells = page.locator('.cell');
    const stroke = () => page.evaluate('getComputedStyle(document.querySelector(".cell")).stroke');
    await page.mouse.move(0, 0);
    const none = 'rgba(0, 0, 0, 0)';
    await expect.poll(stroke).toBe(none);
    await cells.nth(1).click();
    expect(await stroke()).not.toBe(none);
    const kept = () => page.getByRole('slider', { name: 'Blocks to keep' }).inputValue();
    await expect.poll(kept).toBe('2');
    await cells.nth(1).click();
    await expect.poll(kept).toBe('1');
  });

  it('saves PNG, WebP without loss, and MP4', async () => {
    for (const [name, ending, magic] of [
      ['PNG', '.png', '\x89PNG'],
      ['WebP', '.webp', 'VP8L'],
      ['MP4 of its making', '.mp4', 'ftyp'],
    ] as const) {
      const download = page.waitForEvent('download');
      await page.getByRole('button', { name, exact: true }).click();
      const file = await download;
      expect(file.suggestedFilename()).toMatch(new RegExp(`^sneaker-\\d+\\${ending}$`));
      expect((await readFile(await file.path())).toString('latin1')).toContain(magic);
    }
  });

  it('goes back to an image of the gallery, after a reload too', async () => {
    await page.reload();
    await choose('fashion-mnist');
    const items = page.locator('.gallery .item');
    await items.nth(1).waitFor();
    await expect.poll(() => items.count()).toBe(3);
    for (const [index, name] of [
      [2, 'exact'],
      [1, 'fast'],
    ] as const) {
      await items.nth(index).click();
      await status().filter({ hasText: 'From the gallery.' }).waitFor();
      await expect.poll(() => page.getByRole('spinbutton', { name: 'Seed' }).inputValue()).toBe('7');
      await expect.poll(() => preset().inputValue()).toBe(name);
    }
    await page
      .getByRole('button', { name: /^Remove/ })
      .first()
      .click();
    await expect.poll(() => items.count()).toBe(2);
  });

  it('stops when asked to', async () => {
    await setSteps(50);
    await button('Make an image').click();
    await status()
      .filter({ hasText: /^Block 1/ })
      .waitFor();
    await button('Stop').click();
    await status()
      .filter({ hasText: /^Stopped after \d of 4 blocks/ })
      .waitFor();
  });

  it('links to the notices of what it contains', async () => {
    const [notices] = await Promise.all([
      context.waitForEvent('page'),
      page.getByRole('link', { name: 'Third-party notices' }).click({ modifiers: ['ControlOrMeta'] }),
    ]);
    await notices.getByText('libmp4v2').waitFor();
    await notices.close();
  });

  it('works with no network once it was used, whatever page was read last', async () => {
    await context.setOffline(true);
    server.asked.length = 0;
    await page.reload();
    await choose('fashion-mnist');
    await setSteps(1);
    await button('Make an image').click();
    await done();
    // That a browser asks for by itself, to see whether there is another.
    expect(server.asked.filter((path) => path !== '/service-worker.js')).toEqual([]);
    // The service worker isolates the page, so there are threads though the server sent no headers.
    expect(await page.evaluate('crossOriginIsolated')).toBe(true);
    await context.setOffline(false);
  });

  it('takes a model by drag and drop, and tells what is none', async () => {
    await drop([['model.safetensors', Buffer.from('nothing')]]);
    await page.getByRole('alert').filter({ hasText: 'config.json' }).waitFor();
    await drop([['broken.pt', Buffer.from('no checkpoint at all')]]);
    await page.getByRole('alert').filter({ hasText: 'broken.pt' }).waitFor();
    await drop([['image-tiny.pt', await readFile(join(root, 'test/fixtures/golden/image-tiny.pt'))]]);
    const chosen = page.getByRole('combobox', { name: 'Model' }).locator('option:checked');
    await chosen.filter({ hasText: 'image-tiny (yours)' }).waitFor({ state: 'attached' });
    await expect.poll(() => page.getByRole('alert').count()).toBe(0);
    await setSteps(1);
    await button('Make an image').click();
    await done();
    expect((await newest()).values).toHaveLength(8 * 8 * 4);
  });

  it('makes and saves the colours that Node makes', async () => {
    const classNames = ['robot', 'pixel face', 'ghost'];
    const config = { ...tinyPixels, channels: 3, classNames };
    const model = await saveTiny(join(folder, 'colour'), config);
    const files = ['config.json', 'model.safetensors'];
    await drop(
      await Promise.all(files.map(async (name) => [name, await readFile(join(model, name))] as const)),
    );
    await page.getByRole('radio', { name: 'pixel face' }).check();
    await setSteps(3);
    await page.getByRole('spinbutton', { name: 'Seed' }).fill('7');
    await button('Make an image').click();
    await done();
    const { cfg } = (await newest()).order;
    const expected = await sampleOnNode(model, { labels: [1], steps: 3, cfg, seed: 7 });
    const pixels = unpatchify(config, float32([1, 4, 4, 12], expected));
    const image = enlarge(framesOf(pixels)[0]![0]!, 32);
    for (const name of ['PNG', 'WebP']) {
      const download = page.waitForEvent('download');
      await button(name).click();
      const file = await download;
      expect(file.suggestedFilename()).toBe(`pixel-face-7.${name.toLowerCase()}`);
      const saved = await readImage(await readFile(await file.path()));
      expect(saved).toMatchObject({ width: 256, height: 256, channels: 3 });
      expect(largestDifference(saved.data, image.data)).toBeLessThanOrEqual(1);
    }
  });

  it('decodes latents by an autoencoder that is dropped, and refuses one that does not fit', async () => {
    const folder = join(root, 'test/fixtures/golden');
    const weightsName = 'diffusion_pytorch_model.safetensors';
    await drop([['image-tiny.pt', await readFile(join(folder, 'image-tiny.pt'))]]);
    await page.getByText('their first channels are shown').waitFor();
    const config = JSON.parse(await readFile(join(folder, 'vae-tiny/config.json'), 'utf8'));
    const weights = await readFile(join(folder, 'vae-tiny', weightsName));
    const withConfig = (changes: object) =>
      drop([
        ['config.json', Buffer.from(JSON.stringify({ ...config, ...changes }))],
        [weightsName, weights],
      ]);
    await drop([[weightsName, weights]]);
    await page.getByRole('alert').filter({ hasText: 'no whole autoencoder' }).waitFor();
    await withConfig({ _class_name: 'AutoencoderTiny' });
    await page.getByRole('alert').filter({ hasText: 'no AutoencoderKL' }).waitFor();
    await withConfig({ latent_channels: 3 });
    await page.getByRole('alert').filter({ hasText: 'does not fit its config.json' }).waitFor();
    await withConfig({});
    await page.getByText('The autoencoder is added').waitFor();
    await expect.poll(() => page.getByRole('alert').count()).toBe(0);
    await setSteps(1);
    await button('Make an image').click();
    await status()
      .filter({ hasText: /^Done in .* Decoded\.$/ })
      .waitFor();
    const side =
      '[...document.querySelectorAll(".making canvas, .gallery li:first-child canvas")].map((c) => c.width)';
    await expect.poll(() => page.evaluate(side)).toEqual([64, 64]);
    expect(await accessibilityFaults(page)).toEqual([]);
  });

  it('makes the video that Node makes, continues it, and saves it', async () => {
    await page.goto(`${server.url}?device=wasm`);
    await choose('moving-fashion-mnist');
    await page.getByRole('radio', { name: 'Sneaker' }).check();
    await setSteps(2);
    await page.getByRole('spinbutton', { name: 'Seed' }).fill('7');
    await button('Make a video').click();
    await done();
    const { order, values } = await newest();
    const expected = await sampleOnNode('moving-fashion-mnist', {
      labels: [7],
      steps: 2,
      cfg: order.cfg,
      seed: 7,
    });
    expect(largestDifference(values, expected)).toBeLessThan(1e-3);
    await button('Continue').click();
    await done();
    const longer = (await newest()).values;
    const { blocks } = (await loadModel(join(root, 'models/moving-fashion-mnist'))).config;
    expect(longer).toHaveLength((values.length / blocks) * (blocks + 1));
    expect(longer.slice(0, values.length)).toEqual(values);
    const download = page.waitForEvent('download');
    await button('MP4').click();
    expect((await readFile(await (await download).path())).toString('latin1')).toContain('ftyp');
  });

  it('compares numbers of blocks', async () => {
    await page.goto(`${server.url}?device=wasm#compare`);
    await choose('fashion-mnist');
    await setSteps(1);
    await page.getByRole('button', { name: 'Compare' }).click();
    await expect
      .poll(
        () =>
          page
            .locator('.column')
            .getByText(/^Done in/)
            .count(),
        { timeout: 60_000 },
      )
      .toBe(3);
  });

  it("compares no server's models, and says why", async () => {
    const config = await readFile(join(root, 'models/fashion-mnist/config.json'), 'utf8');
    const entry = { id: 'clothes', fast_steps: null, config: JSON.parse(config) };
    const served = await context.newPage();
    await served.route('**/v1/models', (route) => route.fulfill({ json: { data: [entry] } }));
    await served.goto(`${server.url}?device=wasm`);
    const options = served.getByRole('combobox', { name: 'Model' }).locator('option');
    const titles = ['Fashion-MNIST (bundled)', 'Moving Fashion-MNIST (bundled)'];
    const clothes = 'clothes (on the server)';
    const shown = async (): Promise<string[]> => (await options.allInnerTexts()).slice(0, 1);
    await expect.poll(shown).toEqual([clothes]);
    expect(await options.allInnerTexts()).toEqual(expect.arrayContaining(titles));
    await served.getByText('It runs on the server.').waitFor();
    expect(await served.getByRole('combobox', { name: 'Preset' }).count()).toBe(0);
    await served.getByRole('link', { name: 'Compare' }).click();
    await expect.poll(() => options.allInnerTexts()).not.toContain(clothes);
    expect(await options.allInnerTexts()).toEqual(expect.arrayContaining(titles));
    await served.getByText('Not offered here: clothes (on the server)').waitFor();
    expect(await served.getByRole('checkbox').count()).toBeGreaterThan(2);
    await served.close();
  });

  it('shows the image and the button on a phone, before, during and after', async () => {
    const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const small = await phone.newPage();
    await small.goto(`${server.url}?device=wasm`);
    const make = small.getByRole('button', { name: 'Make an image' });
    await small.getByText('Choose a class, then make an image').waitFor();
    const visible = async (): Promise<number[]> => {
      const boxes = [await small.locator('.frame').boundingBox(), await make.boundingBox()];
      return boxes.map((box) => (box && box.y >= 0 && box.y + box.height <= 844 ? box.height : 0));
    };
    const expectBoth = async (): Promise<void> => {
      const [image, pressed] = await visible();
      expect(image).toBeGreaterThan(250);
      expect(pressed).toBeGreaterThan(30);
    };
    await expectBoth();
    await small.getByRole('spinbutton', { name: 'Seed' }).fill('3'); // scrolls to the last setting
    await expectBoth();
    await make.click();
    await small
      .locator('.making')
      .getByText(/^Block/)
      .waitFor();
    await expectBoth();
    await small
      .locator('.making')
      .getByText(/^Done in/)
      .waitFor();
    await expectBoth();
    expect(await accessibilityFaults(small)).toEqual([]);
    await phone.close();
  });

  it('trains a model that learns', async () => {
    await page.goto(`${server.url}?device=wasm#train`);
    await page.getByRole('spinbutton', { name: 'Steps' }).fill('60');
    await page.getByRole('button', { name: 'Train', exact: true }).click();
    const loss = async (step: number): Promise<number> => {
      const caption = page.locator('.chart figcaption').filter({ hasText: new RegExp(`^Step ${step} `) });
      await caption.waitFor({ timeout: 90_000 });
      return Number(/loss ([\d.]+)/.exec(await caption.innerText())?.[1]);
    };
    await page.getByRole('status').filter({ hasText: 'Trained.' }).waitFor({ timeout: 90_000 });
    expect(await loss(60)).toBeLessThan(0.2);
    await expect.poll(() => page.locator('.sample-row canvas').count()).toBe(16);
  });

  it.each(['create', 'compare', 'train'])('has no accessibility fault: %s', async (view) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.goto(`${server.url}?device=wasm#${view}`);
      await page.locator('button.primary').waitFor();
      expect(await accessibilityFaults(page)).toEqual([]);
    }
  });
});

/** The tokens that a model, bundled or at a path, makes without a browser. */
async function sampleOnNode(name: string, request: SampleRequest): Promise<Float32Array> {
  const device = openCpu();
  const sampler = await createSampler({ ...(await loadModel(resolve(root, 'models', name))), device });
  try {
    return (await finalLatents(sampler.sample(request))).data;
  } finally {
    await device.dispose();
  }
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a, (value, i) => Math.abs(value - b[i])).reduce((x, y) => Math.max(x, y), 0);
}
