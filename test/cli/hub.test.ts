/** @file Commands that are given the name of a model on the hub. The hub is on loopback. */
// @module-tag slow

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type CliResult,
  expectBadInput,
  lastLine,
  runInProcess,
  spawnCli,
  startCli,
} from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { type Hub, sha256, startHub } from '../support/hub-server.ts';
import { writePictureFolder } from '../support/picture-folder.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

const checkpoint = readFileSync(golden('image-tiny.pt'));
const VAE_FILES = ['config.json', 'diffusion_pytorch_model.safetensors'];
const inFolder = folderOfEachTest();

beforeEach(() => {
  vi.stubEnv('HF_HOME', inFolder('hf'));
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
});

const blob = (repo: string): string => inFolder('hf/hub', `models--${repo}`, 'blobs', sha256(checkpoint));

async function hubWith(files: Record<string, Uint8Array>): Promise<Hub> {
  const hub = await startHub(files);
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  return hub;
}

function filesOf(path: string, prefix: string, names: readonly string[]): Record<string, Uint8Array> {
  return Object.fromEntries(names.map((name) => [`${prefix}/${name}`, readFileSync(join(path, name))]));
}

/** Two steps of sampling to latents. */
const latents = (model: string, file: string): string[] => [
  ...['sample', model, '--labels', '1,2', '--steps', '2', '--no-decode', '--latents', inFolder(file)],
];

describe('a model of the hub', () => {
  it('samples what the same file samples, and without a network the next time', async () => {
    const hub = await hubWith({ 'owner/repo/models/image-tiny.pt': checkpoint });
    const name = 'owner/repo/models/image-tiny.pt';
    expect(await runInProcess(latents(golden('image-tiny.pt'), 'local.npy'))).toMatchObject({ code: 0 });
    hub.faults.drops = [1_000_000];
    const first = await spawnCli(latents(name, 'hub.npy'));
    expect(first.code).toBe(0);
    expect(first.stdout).toBe(`${inFolder('hub.npy')}\n`);
    expect(first.stderr).toContain('download image-tiny.pt');
    expect(first.stderr).toContain('the connection was closed; trying again');
    expect(hub.contentRequests()).toHaveLength(2);
    expect(readFileSync(inFolder('hub.npy'))).toEqual(readFileSync(inFolder('local.npy')));
    await hub.close();
    const second = await runInProcess(latents(name, 'again.npy'));
    expect(second.code).toBe(0);
    expect(second.stderr).toMatch(/^warning: cannot reach .* is taken from the cache\n/);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const third = await runInProcess([...latents(name, 'offline.npy'), '--json']);
    expect(third).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(third.stdout)).toMatchObject({ model: name });
    expect(readFileSync(inFolder('offline.npy'))).toEqual(readFileSync(inFolder('local.npy')));
  });

  it('may be named as released, or be a folder', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    const hub = await hubWith({
      'JamesHujy/ACDiT/ACDiT-XL-img.pt': checkpoint,
      ...filesOf(model, 'owner/pixels', readdirSync(model)),
      ...filesOf(model, 'owner/many/one', readdirSync(model)),
    });
    const info = async (name: string) => {
      const { code, stdout } = await runInProcess(['info', name, '--json']);
      expect(code).toBe(0);
      return JSON.parse(stdout).config;
    };
    expect(await info('ACDiT-XL-img')).toMatchObject({ hidden: 128, space: 'latents' });
    const { config: expected } = JSON.parse((await runInProcess(['info', model, '--json'])).stdout);
    for (const name of ['owner/pixels', 'owner/many/one', `owner/many@${hub.commit}/one/model.safetensors`]) {
      expect(await info(name)).toEqual(expected);
    }
    hub.faults.revisions = ['refs/pr/1'];
    for (const name of [`${hub.endpoint}/owner/pixels/tree/main/?x`, 'hf://owner/many@refs%2Fpr%2F1/one']) {
      expect(await info(name)).toEqual(expected);
    }
    expectBadInput(
      await runInProcess(['info', 'https://other.example/owner/repo']),
      'not the address of a model',
    );
    const converted = ['convert', 'ACDiT-XL-img', inFolder('converted')];
    expect(await runInProcess(converted)).toMatchObject({ code: 0 });
    expect(await info(inFolder('converted'))).toMatchObject({ hidden: 128 });
    const verified = await runInProcess(['verify', 'ACDiT-XL-img', golden('image-tiny.npz')]);
    expect(verified).toMatchObject({ code: 0 });
  });

  it('is served under its own name', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    const files = readdirSync(model);
    await hubWith({
      ...filesOf(model, 'owner/pixels', files),
      ...filesOf(model, 'owner/many/v1.5', files),
      'owner/repo/image-tiny.pt': checkpoint,
      ...filesOf(golden('vae-tiny'), 'owner/sd/vae', VAE_FILES),
    });
    const names = ['owner/pixels', 'owner/many/v1.5', 'owner/repo/image-tiny.pt', 'mine=owner/pixels'];
    const running = startCli(['serve', ...names, '--port', '0', '--vae', 'owner/sd']);
    await running.printed('serving pixels, v1.5, image-tiny, mine at ');
    running.child.kill('SIGTERM');
    await running.result;
  });

  it('gives way to a path of that name', async () => {
    const hub = await hubWith({ 'owner/repo/image-tiny.pt': checkpoint });
    mkdirSync(inFolder('owner/repo'), { recursive: true });
    writeFileSync(inFolder('owner/repo/image-tiny.pt'), 'no checkpoint');
    const { code, stderr } = await spawnCli(['info', 'owner/repo/image-tiny.pt'], inFolder());
    expect({ code, requests: hub.requests }).toEqual({ code: 2, requests: [] });
    expect(stderr).toContain('image-tiny.pt');
  });

  it('keeps what there is on Ctrl-C, and resumes from there', async () => {
    const hub = await hubWith({ 'owner/repo/image-tiny.pt': checkpoint });
    hub.faults.trickle = 20_000;
    const running = startCli(latents('owner/repo/image-tiny.pt', 'hub.npy'));
    await new Promise((resolve) => running.child.stderr.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, 50));
    running.child.kill('SIGINT');
    const { code, stderr } = await running.result;
    expect(code).toBe(130);
    expect(stderr).toMatch(/ of 2\.7 MB are kept; the same command resumes from there\n$/);
    const kept = readFileSync(`${blob('owner--repo')}.incomplete`).length;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(checkpoint.length);
    hub.faults.trickle = 0;
    const resumed = await runInProcess(latents('owner/repo/image-tiny.pt', 'hub.npy'));
    expect(resumed).toMatchObject({ code: 0 });
    expect(resumed.stderr).toContain('are there already');
    expect(hub.contentRequests().at(-1)).toContain(`[bytes=${kept}-]`);
  });

  it('is downloaded once by two commands at the same time', async () => {
    const hub = await hubWith({ 'owner/repo/image-tiny.pt': checkpoint });
    hub.faults.trickle = 20_000;
    const names = ['a.npy', 'b.npy'];
    const results = await Promise.all(
      names.map((name) => spawnCli(latents('owner/repo/image-tiny.pt', name))),
    );
    for (const { code } of results) expect(code).toBe(0);
    expect(hub.contentRequests()).toHaveLength(1);
    expect(readdirSync(join(blob('owner--repo'), '..'))).toEqual([sha256(checkpoint)]);
    expect(readFileSync(inFolder('a.npy'))).toEqual(readFileSync(inFolder('b.npy')));
  });

  it('says what is wrong in one line', async () => {
    const hub = await hubWith({ 'owner/repo/image-tiny.pt': checkpoint });
    const info = (name: string): Promise<CliResult> => runInProcess(['info', name, '--json']);
    expectBadInput(await info('ACDiT-XL-image'), 'no such model', 'did you mean ACDiT-XL-img?');
    expectBadInput(
      await info('owner/repo/image-tin.pt'),
      'no such path',
      'did you mean owner/repo/image-tiny.pt?',
    );
    expectBadInput(await info('owner/repo/image.pt'), 'holds no image.pt. It holds image-tiny.pt');
    expectBadInput(await info('owner/repo'), 'holds no config.json', 'It holds image-tiny.pt');
    hub.faults.corrupt = true;
    expectBadInput(await info('owner/repo/image-tiny.pt'), 'the download is damaged', 'it is deleted');
    await hub.close();
    const expected = inFolder('hf/hub/models--JamesHujy--ACDiT/snapshots/main/ACDiT-H-vid.pt');
    expectBadInput(await info('ACDiT-H-vid'), `cannot reach ${hub.endpoint}`, `put it at ${expected}`);
    mkdirSync(join(expected, '..'), { recursive: true });
    writeFileSync(expected, checkpoint);
    expect(await info('ACDiT-H-vid')).toMatchObject({ code: 0 });
  });
});

describe('an autoencoder of the hub', () => {
  const pictures = (out: string): Buffer[] =>
    readdirSync(inFolder(out))
      .sort()
      .map((name) => readFileSync(inFolder(out, name)));
  const sample = (out: string, ...more: string[]): Promise<CliResult> =>
    runInProcess([
      ...['sample', golden('image-tiny.pt'), '--labels', '1', '--steps', '1', '--out', inFolder(out)],
      ...more,
    ]);

  it('decodes as the same folder does, by name or as the one of the released models', async () => {
    const vae = golden('vae-tiny');
    await hubWith({
      ...filesOf(vae, 'owner/sd/vae', VAE_FILES),
      ...filesOf(vae, 'facebook/DiT-XL-2-256/vae', VAE_FILES),
    });
    expect(await sample('local', '--vae', vae)).toMatchObject({ code: 0 });
    const runs = { named: ['--vae', 'owner/sd'], own: [] };
    for (const [out, more] of Object.entries(runs)) {
      expect(await sample(out, ...more)).toMatchObject({ code: 0 });
      expect(pictures(out)).toEqual(pictures('local'));
    }
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await sample('offline')).toMatchObject({ code: 0 });
    expect(pictures('offline')).toEqual(pictures('local'));
  });

  it('says what to do when it cannot be had', async () => {
    const hub = await hubWith({ 'owner/plain/config.json': readFileSync(golden('vae-tiny/config.json')) });
    const refused = await sample('out', '--vae', 'owner/plain');
    expectBadInput(
      refused,
      'owner/plain holds no diffusion_pytorch_model.safetensors',
      'It holds config.json',
    );
    await hub.close();
    const into = inFolder('hf/hub/models--facebook--DiT-XL-2-256/snapshots/main/vae');
    const absent = await sample('out');
    expectBadInput(absent, '--vae DIR', '--no-decode', `diffusion_pytorch_model.safetensors into ${into}`);
    expect(readdirSync(inFolder())).not.toContain('out');
  });
});

describe('training with the hub', () => {
  it('begins with a model of it and decodes samples by its autoencoder, whatever the hub does later', async () => {
    const data = await writePictureFolder(inFolder('images'), 4, 16);
    const files = filesOf(golden('vae-tiny'), 'owner/sd/vae', VAE_FILES);
    const first = await hubWith(files);
    const encoded = ['encode', data, inFolder('latents'), '--size', '16', '--vae', 'owner/sd'];
    expect(await runInProcess(encoded)).toMatchObject({ code: 0 });
    const recipe = {
      model: { layers: 1, hidden: 32, heads: 1, mlpRatio: 2, patch: 1, blocks: 1 },
      training: { steps: 2, batch: 4, schedule: 'constant' },
      data: { flip: true },
      output: { sampleEvery: 2, sampleSteps: 1, vae: 'owner/sd' },
    };
    writeFileSync(inFolder('recipe.json'), JSON.stringify(recipe));
    const train = (out: string, ...more: string[]): Promise<CliResult> =>
      runInProcess([
        ...['train', inFolder('recipe.json'), '--data', inFolder('latents'), '--out', inFolder(out)],
        ...more,
      ]);
    expect(await train('first')).toMatchObject({ code: 0 });
    await first.close();
    const model = filesOf(inFolder('first'), 'owner/model', ['config.json', 'model.safetensors']);
    const second = await hubWith({ ...files, ...model });
    const initFrom = ['--training.initFrom', 'owner/model'];
    expect(await train('second', ...initFrom)).toMatchObject({ code: 0 });
    expect(readdirSync(inFolder('second', 'samples'))).toEqual(['step-00000002.png']);
    await second.close();
    const resumed = await train('second', ...initFrom, '--steps', '4');
    expect(resumed).toMatchObject({ code: 0 });
    expect(resumed.stderr).toContain('resuming at step 2');
    expectBadLine(await train('third', '--training.initFrom', 'owner/other'), 'owner/other: no such path');
  });
});

/** Other lines, such as of a warning, may go before. */
function expectBadLine({ code, stderr }: CliResult, message: string): void {
  expect(lastLine(stderr)).toContain(message);
  expect(code).toBe(2);
}
