/** The programs in examples/ and in the docs, as projects of their own in which npm has installed the packed package. */

// @module-tag slow

import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readModelConfig } from '../src/checkpoints/load.ts';
import { readImage } from '../src/media/image.ts';
import { launchChromium, withoutChromium } from './support/chromium.ts';
import { startMlflow } from './support/mlflow-server.ts';
import { serveFolder } from './support/static-server.ts';

const ROOT = join(import.meta.dirname, '..');
/** Folders of programs; `deploy` and `pytorch` hold files for other programs. */
const EXAMPLES = readdirSync(join(ROOT, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !['deploy', 'pytorch'].includes(entry.name))
  .map(({ name }) => name);
const folder = mkdtempSync(join(tmpdir(), 'acdit-examples-'));
const TARBALL = 'acdit.tgz';

/** Copies the examples, and installs what their `package.json` files name, with the packed package as acdit. */
beforeAll(() => {
  for (const name of EXAMPLES) {
    cpSync(join(ROOT, 'examples', name), join(folder, name), {
      recursive: true,
      filter: (path) => !path.includes('node_modules'),
    });
    const manifest = JSON.parse(readFileSync(inExample(name, 'package.json'), 'utf8'));
    manifest.dependencies.acdit = `file:../${TARBALL}`;
    writeFileSync(inExample(name, 'package.json'), JSON.stringify(manifest));
  }
  // On Node 20, npm does not choose version 7 of the AI SDK.
  const dependencies = { acdit: `file:${TARBALL}`, ai7: 'npm:ai@7' };
  const project = { private: true, type: 'module', workspaces: EXAMPLES, dependencies };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(project));
  const packed = npm(ROOT, 'pack', '--silent', '--ignore-scripts', '--pack-destination', folder).trim();
  renameSync(join(folder, packed), join(folder, TARBALL));
  npm(folder, 'install', '--no-audit', '--no-fund', '--ignore-scripts');
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }), 600_000); // a gigabyte of small files

function npm(cwd: string, ...args: string[]): string {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', shell: process.platform === 'win32' });
}

function run(name: string, ...args: string[]) {
  const cwd = join(folder, name);
  const { status, stdout, stderr } = spawnSync(process.execPath, args.length > 0 ? args : ['index.js'], {
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

/** Builds a page with Vite, and opens it in Chromium. */
async function withBuiltPage(name: string, use: (page: Page) => Promise<void>): Promise<void> {
  const root = join(folder, name);
  const vite = join(folder, 'node_modules/vite/bin/vite.js');
  const built = spawnSync(process.execPath, [vite, 'build'], { cwd: root, encoding: 'utf8' });
  expect(built).toMatchObject({ status: 0 });
  const server = await serveFolder(join(root, 'dist'));
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    await use(page);
  } finally {
    await browser.close();
    server.close();
  }
}

describe('the example', () => {
  it('lists all of them, each with a package.json that names acdit', () => {
    expect(EXAMPLES).toHaveLength(10);
    const readme = readFileSync(join(ROOT, 'examples/README.md'), 'utf8');
    for (const name of EXAMPLES) {
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
    const { stdout } = run('terminal-preview', 'index.js', 'sneaker');
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
    await withBuiltPage('vite-page', async (page) => {
      const state = () => page.textContent('#state');
      await expect.poll(state, { timeout: 100_000, interval: 500 }).not.toMatch(/Loading|%/);
      expect(await state()).toBe('Finished');
      expect(await page.evaluate('document.querySelector("#image").naturalWidth')).toBe(32);
    });
  });

  it('train-with-tracker trains a model and samples from it', async () => {
    const { stdout } = run('train-with-tracker');
    expect(stdout).toMatch(/│ 20 +│ 0\.\d+|│ 20 +│ 1\.\d+/);
    expect(await readImage(inExample('train-with-tracker', 'student.png'))).toMatchObject({
      width: 32,
      height: 32,
    });
  });

  it('mlflow sends the log of a training to a server', async () => {
    const server = await startMlflow();
    try {
      const env = { ...process.env, MLFLOW_TRACKING_URI: server.url };
      const options = { cwd: join(folder, 'mlflow'), env };
      const { stdout, stderr } = await promisify(execFile)(process.execPath, ['index.js'], options);
      expect([stdout, stderr]).toEqual(['trained to step 20\n', '']);
      expect([...server.metrics('loss').keys()]).toEqual([5, 10, 15, 20]);
      expect(server.status()).toBe('FINISHED');
      expect([...server.artifacts.keys()]).toEqual(['7/run-1/artifacts/samples/step-00000020.png']);
    } finally {
      await server.close();
    }
  });

  it('custom-attention trains a model whose config has the table', async () => {
    const { stdout } = run('custom-attention');
    const rows = stdout.trim().split('\n');
    expect(rows).toHaveLength(16);
    expect(rows[9]).toBe('0100010111000000'); // 9 - 8, 9 - 4, 9 - 2, 9 - 1, and itself
    const config = JSON.parse(readFileSync(inExample('custom-attention', 'run/config.json'), 'utf8'));
    expect(config.attention.noised).toEqual(rows);
    const student = await readImage(inExample('custom-attention', 'student.png'));
    expect(student).toMatchObject({ width: 32, height: 32 });
  });

  it('ai-sdk saves an image', () => {
    run('ai-sdk');
    expect(existsSync(inExample('ai-sdk', 'sneaker.png'))).toBe(true);
  });
});

/** Code of a document, by the first line of the block, such as `// main.ts`, or by its number. */
function codeOf(document: string): Map<string, string> {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return new Map(
    [...text.matchAll(/^```(?:ts|html)\n([\s\S]*?)^```/gm)].map(([, code], i) => [
      /^(?:\/\/|<!--) (\S+\.\w+)/.exec(code!)?.[1] ?? String(i),
      code!,
    ]),
  );
}

describe('the documented program', () => {
  it('of the README saves an image', async () => {
    const code = codeOf('README.md').get('0')!;
    writeFileSync(join(folder, 'readme.mjs'), code);
    run('.', 'readme.mjs');
    const [model, file] = [/open\('(.+?)'/, /save\('(.+?)'/].map((pattern) => pattern.exec(code)![1]!);
    const { width, height } = await readModelConfig(join(ROOT, 'models', model!));
    expect(await readImage(join(folder, file!))).toMatchObject({ width, height });
  });

  it.skipIf(withoutChromium())('of docs/browser.md shows an image in Chromium', async () => {
    mkdirSync(join(folder, 'page/public/models'), { recursive: true });
    cpSync(join(ROOT, 'models/fashion-mnist'), join(folder, 'page/public/models/fashion-mnist'), {
      recursive: true,
    });
    const code = codeOf('docs/browser.md');
    for (const name of ['index.html', 'main.ts', 'worker.ts', 'vite.config.ts'])
      writeFileSync(join(folder, 'page', name), code.get(name)!);
    await withBuiltPage('page', async (page) => {
      const width = () => page.evaluate('document.querySelector("#image").naturalWidth');
      await expect.poll(width, { timeout: 100_000, interval: 500 }).toBe(32);
    });
  });

  it.each([...codeOf('docs/cookbook.md')])('of docs/cookbook.md runs: %s', (name, code) => {
    writeFileSync(join(folder, `${name}.mjs`), code);
    run('.', `${name}.mjs`);
  });
});

describe('the AI SDK of version 7', () => {
  it('makes images, polls for videos, and starts them', () => {
    writeFileSync(join(folder, 'ai7.mjs'), AI_7);
    expect(run('.', 'ai7.mjs').stdout).toBe('["image/png",[],"video/mp4","completed"]\n');
  });
});

const AI_7 = `
  import { createAcdit } from 'acdit/ai-sdk';
  import { acditApp } from 'acdit/server';
  import {
    generateImage,
    experimental_generateVideo as generateVideo,
    experimental_getVideoStatus as getVideoStatus,
    experimental_startVideo as startVideo,
  } from 'ai7';
  const server = acditApp({ models: ['fashion-mnist', 'moving-fashion-mnist'] });
  const acdit = createAcdit({ fetch: async (url, init) => server.fetch(new Request(url, init)) });
  const options = { prompt: 'sneaker', providerOptions: { acdit: { steps: 1 } } };
  const { image, warnings } = await generateImage({ model: acdit('fashion-mnist'), ...options });
  const model = acdit.video('moving-fashion-mnist');
  const { video } = await generateVideo({ model, ...options, poll: { intervalMs: 100 } });
  const { operation } = await startVideo({ model, ...options });
  let status = 'pending';
  while (status === 'pending') {
    await new Promise((resolve) => setTimeout(resolve, 100));
    ({ status } = await getVideoStatus(model, { operation }));
  }
  console.log(JSON.stringify([image.mediaType, warnings, video.mediaType, status]));
  await server.dispose();
`;
