/** Samples in three lines: what `open` returns, compared with the explicit layer, and how it behaves in company. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runInProcess } from '../../test/support/cli.ts';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveAutoencoder } from '../../test/support/tiny-autoencoder.ts';
import { saveTiny, tinyLatents, tinyPixels, tinyVideo } from '../../test/support/tiny-model.ts';
import { AcditError, ArgumentError } from '../errors.ts';
import { encodePng, type Image, readImage } from '../media/image.ts';
import { framesOf } from '../media/pixels.ts';
import { unpatchify } from '../models/acdit/layout.ts';
import { openCpu } from '../runtime/node.ts';
import { createSampler, finalLatents } from '../sampling/sampler.ts';
import type { Acdit, GenerateEvent, GenerateOptions, Prompt, StreamOptions } from './generate.ts';
import { open } from './open.ts';
import type { GeneratedSample } from './sample.ts';

const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
process.execArgv.push('--import', LOADER); // for the processes that are started here

const device = openCpu({ threads: 1 });
const opened: Acdit[] = [];
afterAll(async () => {
  for (const acdit of opened) await acdit.dispose();
  await device.dispose();
});

async function openTiny(config = tinyPixels, options = {}): Promise<Acdit> {
  const acdit = await open(await saveTiny(join(temporaryFolder(), 'model'), config), {
    threads: 1,
    ...options,
  });
  opened.push(acdit);
  return acdit;
}

/** The samples that the explicit layer makes. */
async function expected(config: typeof tinyPixels, labels: number[], rest: object): Promise<Image[][]> {
  const sampler = await createSampler({ config, weights: formulaWeights(config), device });
  const latents = await finalLatents(sampler.sample({ labels, ...rest }));
  await sampler.dispose();
  return framesOf(unpatchify(config, latents));
}

const framesIn = (samples: readonly GeneratedSample[]) => samples.map(({ frames }) => frames);

async function eventsOf(acdit: Acdit, prompt: Prompt, options: StreamOptions): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  for await (const event of acdit.stream(prompt, options)) events.push(event);
  return events;
}

describe('generate', () => {
  let acdit: Acdit;
  let folder: string;
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'acdit-test-'));
    acdit = await open(await saveTiny(folder, tinyPixels), { threads: 1 });
    opened.push(acdit);
  });

  it('makes what the explicit layer makes, class by class', async () => {
    const samples = await acdit.generate(['bag', 1], { seed: 3, steps: 4, guidance: 2, count: 2 });
    expect(framesIn(samples)).toEqual(
      await expected(tinyPixels, [2, 2, 1, 1], { seed: 3, steps: 4, cfg: 2 }),
    );
    expect(samples.map(({ name, label, seed, number }) => [name, label, seed, number])).toEqual([
      ['Bag', 2, 3, 0],
      ['Bag', 2, 3, 1],
      ['Sneaker', 1, 3, 2],
      ['Sneaker', 1, 3, 3],
    ]);
    expect(samples[0]).toMatchObject({ kind: 'image', finished: true, width: 8, height: 8 });
  });

  it('passes on every option of a request', async () => {
    const options = { steps: [1, 2, 3, 4], solver: 'ddim', seed: 7 } as const;
    const [image] = await acdit.generate(0, { ...options, guidance: [1, 1, 2, 2] });
    expect([image.frames]).toEqual(await expected(tinyPixels, [0], { ...options, cfg: [1, 1, 2, 2] }));
  });

  it('takes a class per block, and no class', async () => {
    const [mixed, none] = await acdit.generate([['bag', 'bag', 1, 'none'], 'none'], { steps: 1 });
    expect(mixed).toMatchObject({ label: [2, 2, 1, 3], name: 'Bag/Bag/Sneaker/none' });
    expect(none).toMatchObject({ label: 3, name: 'none' });
    const [again] = await acdit.generate(none!.label as number, { steps: 1 });
    expect(again.name).toBe('none');
  });

  it('returns more samples than one batch has, each the same as in a smaller call', async () => {
    const many = await acdit.generate('bag', { count: 18, steps: 1 });
    expect(many.map(({ number }) => number)).toEqual(Array.from({ length: 18 }, (_, number) => number));
    const few = await acdit.generate('bag', { count: 2, steps: 1 });
    expect(framesIn(many.slice(0, 2))).toEqual(framesIn(few));
  });

  it.each<[string, Prompt, GenerateOptions, string]>([
    ['a typo', 'sneeker', {}, "unknown class 'sneeker'; did you mean 'Sneaker'?"],
    ['a number', 3.5, {}, 'label 3.5 is outside 0 to 2'],
    ['nothing', [], {}, "give a class, by its name or by a number from 0 to 2; 'none' means no class"],
    ['guidance', 'bag', { guidance: -1 }, 'guidance.scale must be 0 or more, got -1'],
    ['steps', 'bag', { steps: 0 }, 'steps must be an integer from 1 to 1000'],
    ['count', 'bag', { count: 0 }, 'count must be a whole number of at least 1, got 0'],
    ['more than fit', ['bag', 1], { count: 40_000, steps: 1 }, 'count must be at most 32768, so that all'],
    ['keep alone', 'bag', { keep: 1 }, 'keep is how much of `continue` is kept'],
  ])('refuses %s', async (_, prompt, options, message) => {
    const refused = acdit.generate(prompt, options);
    await expect(refused).rejects.toThrow(ArgumentError);
    await expect(refused).rejects.toThrow(message);
  });

  it.each<[string, (acdit: Acdit) => Promise<unknown>, string]>([
    ['guidence', (a) => a.generate('bag', { guidence: 3 } as object), "'guidence'; did you mean 'guidance'?"],
    ['step', (a) => a.generate('bag', { seed: 1, step: 4 } as object), "'step'; did you mean 'steps'?"],
    [
      'previews',
      (a) => a.generate('bag', { previews: 4 } as object),
      "'previews'; the options are count, seed,",
    ],
    ['preview', (a) => eventsOf(a, 'bag', { preview: 4 } as object), "'preview'; did you mean 'previews'?"],
    ['cfg', (a) => a.generate('bag', { cfg: undefined } as object), "'cfg'; the options are"],
    ['process', () => open('x', { proces: true } as object), "'proces'; did you mean 'process'?"],
  ])('refuses the unknown option %s', async (_, call, message) => {
    const refused = call(acdit);
    await expect(refused).rejects.toThrow(ArgumentError);
    await expect(refused).rejects.toThrow(`unknown option ${message}`);
  });

  it('refuses options that are none, and unknown ones of files', async () => {
    await expect(acdit.generate('bag', 3 as never)).rejects.toThrow('options must be an object, got 3');
    await expect(acdit.generate('bag', null as never)).rejects.toThrow('options must be an object, got null');
    const [image] = await acdit.generate('bag', { steps: 1 });
    const wrong = { speed: 2 } as object;
    for (const refused of [
      image.toBuffer('png', wrong),
      image.toBlob('png', wrong),
      image.save('a.png', wrong),
    ]) {
      await expect(refused).rejects.toThrow("unknown option 'speed'; the options are fps");
    }
  });

  it('gives each of several calls what it gets alone, though one is aborted', async () => {
    const options = { steps: 6, guidance: 2 };
    const alone = [await acdit.generate('bag', options), await acdit.generate(0, { ...options, seed: 1 })];
    const controller = new AbortController();
    const aborted = acdit.generate(1, { ...options, steps: 100, signal: controller.signal });
    const together = [acdit.generate('bag', options), acdit.generate(0, { ...options, seed: 1 })];
    setTimeout(() => controller.abort(new Error('changed my mind')), 20);
    await expect(aborted).rejects.toThrow('changed my mind');
    expect((await Promise.all(together)).map(framesIn)).toEqual(alone.map(framesIn));
  });

  it('can be called while a stream of as many samples as fit is read', async () => {
    for await (const { samples } of acdit.stream('bag', { count: 16, steps: 1, previews: 1 })) {
      expect(samples).toHaveLength(16);
      const [image] = await acdit.generate('bag', { steps: 1 });
      expect(image.finished).toBe(true);
    }
  });
});

describe('stream', () => {
  it('shows images as they grow, the first within a third of the steps, and ends with the finished ones', async () => {
    const acdit = await openTiny();
    const options = { steps: 6, seed: 5 };
    const events = await eventsOf(acdit, 'bag', options);
    const [image] = await acdit.generate('bag', options);
    const shares = events.map(({ progress }) => progress);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares[0]).toBeLessThan(1 / 3);
    expect(events.map(({ finished }) => finished)).toEqual([...Array(10).fill(false), true]);
    expect(events.at(-1)).toMatchObject({ progress: 1, samples: [{ finished: true }] });
    expect(events.at(-1)!.samples[0].frames).toEqual(image.frames);
    // Halfway, the upper blocks are finished and the lower right one is grey.
    const [half] = events.find(({ progress }) => progress > 0.5)!.samples;
    const [pixels, final] = [half.frames[0]!.data, image.frames[0]!.data];
    expect(pixels.slice(0, 32)).toEqual(final.slice(0, 32));
    expect(pixels[63]).toBe(128);
    expect(half.finished).toBe(false);
  });

  it('shows all frames of a video whose blocks are made together', async () => {
    const acdit = await openTiny({ ...tinyVideo, attention: 'full' });
    const events = await eventsOf(acdit, 'bag', { steps: 6, seed: 5, previews: 4 });
    const shown = events.filter(({ finished }) => !finished).map(({ samples: [video] }) => video);
    expect(shown.map(({ frames }) => frames.length)).toEqual(Array(shown.length).fill(8));
    expect(shown.length).toBeGreaterThanOrEqual(4);
    const [, second] = shown;
    for (const { data } of second!.frames) expect(data.some((value) => value !== 128)).toBe(true);
  });

  it('counts progress in passes: two for a guided step, one for another', async () => {
    const acdit = await openTiny();
    const guidance = { scale: 2, interval: [-3, 1] } as const; // the last two of four steps: 500 and 250
    const events = await eventsOf(acdit, 'bag', { steps: 4, guidance, previews: 16 });
    const passes = events.map(({ progress }) => Math.round(24 * progress));
    expect(passes.slice(0, 5)).toEqual([1, 2, 4, 6, 7]);
  });

  it('stops its work when it is left', async () => {
    const acdit = await openTiny();
    for await (const _ of acdit.stream('bag', { steps: 500 })) break;
    const [image] = await acdit.generate('bag', { steps: 1 });
    expect(image.finished).toBe(true);
  });

  it('shows the samples of all batches', async () => {
    const acdit = await openTiny();
    const events = await eventsOf(acdit, 'bag', { count: 18, steps: 2 });
    expect(events.at(-1)!.samples).toHaveLength(18);
    expect(events.filter(({ finished }) => finished)).toHaveLength(1);
    expect(events[0]!.samples).toHaveLength(16);
  });
});

describe('continuing', () => {
  it('keeps the blocks of a sample to the bit, and those of a file as it stores them', async () => {
    const acdit = await openTiny();
    const [image] = await acdit.generate('bag', { steps: 4, seed: 2 });
    const [same] = await acdit.generate('bag', { steps: 4, seed: 2, continue: image, keep: 2 });
    expect(same.latents).toEqual(image.latents);
    const path = join(temporaryFolder(), 'bag.png');
    await image.save(path);
    const bytes = await image.toBuffer();
    const sources = [path, bytes, await image.toBlob(), image.frames[0]!];
    const continued = [];
    for (const source of sources) {
      const [sample] = await acdit.generate('bag', { steps: 4, seed: 9, continue: source });
      continued.push(sample.frames[0]);
    }
    for (const frame of continued) expect(frame).toEqual(continued[0]);
    expect(continued[0]!.data.slice(0, 32)).toEqual(image.frames[0]!.data.slice(0, 32));
    expect(continued[0]!.data.slice(32)).not.toEqual(image.frames[0]!.data.slice(32));
    await expect(acdit.generate('bag', { continue: image, keep: 4 })).rejects.toThrow(
      'keep 4 leaves nothing to make of 4 blocks',
    );
  });
});

describe('files', () => {
  it('have the format of their name, and replace what exists', async () => {
    const [image] = await (await openTiny()).generate('bag', { steps: 1 });
    const folder = temporaryFolder();
    for (const name of ['new/a.png', 'a.webp', 'a.jpg', 'a.jpg', 'a.JPEG'])
      await image.save(join(folder, name));
    const { data, ...size } = await readImage(join(folder, 'new/a.png'));
    expect({ ...size, data: new Uint8Array(data) }).toEqual(image.frames[0]);
    expect(readFileSync(join(folder, 'new/a.png'))).toEqual(Buffer.from(await encodePng(image.frames[0]!)));
    expect(readFileSync(join(folder, 'a.webp')).subarray(8, 12).toString()).toBe('WEBP');
    expect(readFileSync(join(folder, 'a.jpg')).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect((await image.toBlob('webp')).type).toBe('image/webp');
    expect(new Uint8Array(await (await image.toBlob()).arrayBuffer())).toEqual(await image.toBuffer('png'));
    await expect(image.save(join(folder, 'a.mp4'))).rejects.toThrow(
      'an image is saved as .png, .webp or .jpg',
    );
    await expect(image.save(join(folder, 'a'))).rejects.toThrow(ArgumentError);
    await expect(image.toBuffer('gif')).rejects.toThrow(
      "the format of images is png, webp or jpeg, got 'gif'",
    );
    expect(String(image[Symbol.for('nodejs.util.inspect.custom') as never])).toBeDefined();
  });

  it('of videos are those of the command line, and frames come as they are made', async () => {
    const folder = temporaryFolder();
    const model = await saveTiny(join(folder, 'model'), tinyVideo);
    const acdit = await openTiny(tinyVideo);
    const [video] = await acdit.generate('bag', { steps: 2, seed: 4 });
    await video.save(join(folder, 'bag.webp'));
    const out = join(folder, 'out');
    const flags = ['--labels', 'bag', '--steps', '2', '--seed', '4', '--threads', '1', '--format', 'webp'];
    expect(await runInProcess(['sample', model, ...flags, '--out', out])).toMatchObject({ code: 0 });
    const name = readdirSync(out).find((file) => file.endsWith('.webp'))!;
    expect(readFileSync(join(folder, 'bag.webp'))).toEqual(readFileSync(join(out, name)));
    await video.save(join(folder, 'frames'));
    expect(readdirSync(join(folder, 'frames'))).toHaveLength(8);
    expect(
      Buffer.from(await video.toBuffer('gif'))
        .subarray(0, 6)
        .toString(),
    ).toBe('GIF89a');
    const mp4 = await video.toBlob();
    expect(mp4.type).toBe('video/mp4');
    expect(await mp4.slice(4, 8).text()).toBe('ftyp');
    await expect(video.toBuffer('png')).rejects.toThrow('the format of videos is mp4, webp or gif');

    const events = await eventsOf(acdit, 'bag', { steps: 2, seed: 4 });
    const lengths = events.map(({ samples: [sample] }) => sample.frames.length);
    expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
    expect(lengths[0]).toBe(2);
    expect(lengths).toContain(4);
    expect(events.at(-1)!.samples[0].frames).toEqual(video.frames);
    const [longer] = await acdit.generate('bag', { steps: 2, blocks: 6, continue: video });
    expect(longer.frames).toHaveLength(12);
    expect(longer.frames.slice(0, 8)).toEqual(video.frames);
  });
});

describe('open', () => {
  it('finds the bundled models by their names, and names them', async () => {
    await expect(open('fashion-mnits')).rejects.toThrow(
      /the bundled models are .*fashion-mnist.*; did you mean fashion-mnist\?$/,
    );
    await expect(open('./no/such/model')).rejects.toThrow(AcditError);
  });

  it('samples the same in a separate process, which ends with the program', async () => {
    const acdit = await openTiny();
    const apart = await openTiny(tinyPixels, { process: true });
    const options = { steps: 3, seed: 6 };
    expect(framesIn(await apart.generate('bag', options))).toEqual(
      framesIn(await acdit.generate('bag', options)),
    );
  });

  it('is disposed of at any time', async () => {
    const acdit = await openTiny();
    const running = acdit.generate('bag', { steps: 500 });
    const failure = expect(running).rejects.toThrow('the model was disposed; open it again');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await acdit[Symbol.asyncDispose]();
    await failure;
    await expect(acdit.generate('bag')).rejects.toThrow('the model was disposed');
    await acdit.dispose();
    acdit[Symbol.dispose]();
  });

  it('is forgotten in silence by a program that does not dispose of it', async () => {
    const model = await saveTiny(join(temporaryFolder(), 'model'), tinyPixels);
    const program = `
      const { open } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const make = async () => {
        const acdit = await open(${JSON.stringify(model)}, { threads: 1 });
        return acdit.generate(1, { steps: 2 });
      };
      const [image] = await make();
      for (let i = 0; i < 5; i++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(image.width);
    `;
    const args = ['--expose-gc', '--import', LOADER, '--input-type=module', '--eval', program];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '8\n', stderr: '' });
  });

  it('lets the program end, also with an autoencoder in a process', async () => {
    const folder = temporaryFolder();
    const model = await saveTiny(join(folder, 'model'), { ...tinyLatents, downsampling: 2 });
    const vae = await saveAutoencoder(join(folder, 'vae'));
    const program = `
      const { open } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const options = { vae: ${JSON.stringify(vae)}, threads: 1, process: true };
      const acdit = await open(${JSON.stringify(model)}, options);
      const [image] = await acdit.generate(1, { steps: 2 });
      await image.save(${JSON.stringify(join(folder, 'a.png'))});
      console.log(image.width, image.frames[0].channels);
      for await (const { samples } of acdit.stream(1, { steps: 2 })) console.log(samples.length);
    `;
    const args = ['--import', LOADER, '--input-type=module', '--eval', program];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 100_000,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^16 3\n(1\n)+$/);
    expect(existsSync(join(folder, 'a.png'))).toBe(true);
  });
});
