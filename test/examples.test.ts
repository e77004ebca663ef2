/** The programs in examples/, each as a project of its own that uses the built package. */

// @module-tag slow

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readImage } from '../src/media/image.ts';
import { launchChromium, withoutChromium } from './support/chromium.ts';
import { serveFolder } from './support/static-server.ts';

const ROOT = join(import.meta.dirname, '..');
const PACKAGES = ['hono', '@hono/node-server', 'ai', 'vite', 'onnxruntime-web'];
const folder = mkdtempSync(join(tmpdir(), 'acdit-examples-'));

/** The examples, next to packages that are linked instead of installed. */
beforeAll(() => {
  cpSync(join(ROOT, 'examples'), folder, {
    recursive: true,
    filter: (path) => !path.includes('node_modules'),
  });
  mkdirSync(join(folder, 'node_modules/@hono'), { recursive: true });
  for (const name of PACKAGES)
    symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
  symlinkSync(ROOT, join(folder, 'node_modules/acdit'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(name: string, ...args: string[]) {
  const cwd = join(folder, name);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['index.js', ...args], {
    cwd,
    encoding: 'utf8',
    timeout: 110_000,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return { stdout, files: readdirSync(cwd).sort() };
}

const inExample = (name: string, file: string): string => join(folder, name, file);

async function started(name: string): Promise<{ child: ChildProcess; url: string }> {
  const options = { cwd: join(folder, name), env: { ...process.env, PORT: '0' } };
  const child = spawn(process.execPath, ['server.js'], { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, url: line.toString().trim() };
}

describe('the example', () => {
  it('lists all of them, each with a package.json that names acdit', () => {
    // `deploy` holds files for other programs.
    const folders = readdirSync(join(ROOT, 'examples'), { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && entry.name !== 'deploy',
    );
    expect(folders).toHaveLength(8);
    const readme = readFileSync(join(ROOT, 'examples/README.md'), 'utf8');
    for (const { name } of folders) {
      expect(readme).toContain(`[${name}](`);
      const text = readFileSync(join(ROOT, 'examples', name, 'package.json'), 'utf8');
      expect(JSON.parse(text)).toMatchObject({ private: true, dependencies: { acdit: 'file:../..' } });
    }
  });

  it('three-lines saves an image', async () => {
    run('three-lines');
    expect(await readImage(inExample('three-lines', 'sneaker.png'))).toMatchObject({ width: 32, height: 32 });
  });

  it('terminal-preview shows an image as it grows', () => {
    const { stdout } = run('terminal-preview', 'sneaker');
    const shares = [...stdout.matchAll(/Sneaker (\d+)%/g)].map(([, share]) => Number(share));
    expect(shares).toHaveLength(11);
    expect(shares.at(-1)).toBe(100);
    expect(stdout.split('▀')).toHaveLength(11 * 32 * 16 + 1);
  });

  it('hono-sse streams an image, and serves the API', async () => {
    const { child, url } = await started('hono-sse');
    try {
      const text = await (await fetch(url)).text();
      const events = [...text.matchAll(/event: image\ndata: (.*)/g)].map(([, data]) => JSON.parse(data!));
      expect(events).toHaveLength(11);
      expect(events.at(-1).progress).toBe(1);
      expect(Buffer.from(events[0].image, 'base64').subarray(8, 12).toString()).toBe('WEBP');
      expect(await (await fetch(new URL('/ai/openapi.json', url))).json()).toMatchObject({
        servers: [{ url: '/ai' }],
      });
    } finally {
      child.kill();
    }
  });

  it('next-route answers as a route handler', async () => {
    const route = await import(pathToFileURL(inExample('next-route', 'app/api/ai/[...path]/route.js')).href);
    const request = new Request('http://localhost/api/ai/openapi.json');
    expect(await (await route.GET(request)).json()).toMatchObject({ servers: [{ url: '/api/ai' }] });
    const missing = new Request('http://localhost/api/ai/v1/images/generations', {
      method: 'POST',
      body: '{',
    });
    expect((await route.POST(missing)).status).toBe(415);
  });

  it('child-process stays responsive', () => {
    const { stdout, files } = run('child-process');
    expect(files.filter((name) => name.endsWith('.png'))).toEqual([
      'bag-2.png',
      'bag-3.png',
      'sneaker-0.png',
      'sneaker-1.png',
    ]);
    const [, ticks, milliseconds] = /(\d+) ticks in (\d+) ms/.exec(stdout)!.map(Number);
    expect(ticks! / milliseconds!).toBeGreaterThan(1 / 100); // a tick every 10 ms, on a busy machine every 100
  });

  it.skipIf(withoutChromium())('vite-page shows an image in Chromium', async () => {
    const root = join(folder, 'vite-page');
    const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
    const built = spawnSync(process.execPath, [vite, 'build'], { cwd: root, encoding: 'utf8' });
    expect(built).toMatchObject({ status: 0 });
    const server = await serveFolder(join(root, 'dist'));
    const browser = await launchChromium();
    try {
      const page = await browser.newPage();
      await page.goto(server.url);
      const state = () => page.textContent('#state');
      await expect.poll(state, { timeout: 100_000, interval: 500 }).not.toMatch(/Loading|%/);
      expect(await state()).toBe('Finished');
      expect(await page.evaluate('document.querySelector("#image").naturalWidth')).toBe(32);
    } finally {
      await browser.close();
      server.close();
    }
  });

  it('train-with-tracker trains a model and samples from it', async () => {
    const { stdout } = run('train-with-tracker');
    expect(stdout).toMatch(/│ 20 +│ 0\.\d+|│ 20 +│ 1\.\d+/);
    expect(await readImage(inExample('train-with-tracker', 'student.png'))).toMatchObject({
      width: 32,
      height: 32,
    });
  });

  it('ai-sdk saves an image', () => {
    run('ai-sdk');
    expect(existsSync(inExample('ai-sdk', 'sneaker.png'))).toBe(true);
  });
});
