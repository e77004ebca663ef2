import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fakeEncoder } from '../../../test/support/fake-encoder.ts';
import { writeIdxDataset } from '../../../test/support/idx-files.ts';
import { RAMPS, ramps } from '../../../test/support/ramps.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { AcditError, ConfigError, DatasetError, FormatError } from '../../errors.ts';
import { Generator } from '../../tensor/generator.ts';
import { type Batch, batches } from '../batches.ts';
import type { Dataset, ImageDataset } from '../dataset.ts';
import { openDataset, openImages } from '../open.ts';
import { type EncodeOptions, type EncodeStart, encodeLatents } from './encode.ts';
import { readIndex } from './index-file.ts';
import { createShardPool, type LatentsOptions, openLatents, samplePosterior } from './latents-dataset.ts';
import { type Shard, writeShard } from './shard.ts';

const autoencoder = { fingerprint: 'abc', scalingFactor: 0.5 };

/** The mean of the first latent of image i: half a step beyond its start. */
const firstLatent = (index: number): number => ((index + 0.5) / 16) * autoencoder.scalingFactor;

/** Shards of 4, 4 and 3 images. */
function encodeTo(folder: string, changes: Partial<EncodeOptions> = {}) {
  const options = { source: ramps(), encoder: fakeEncoder(), autoencoder, folder, shardSize: 4 };
  return encodeLatents({ ...options, ...changes });
}

async function open(folder: string, options: LatentsOptions = {}): Promise<Dataset> {
  const dataset = await openLatents(folder, options);
  onTestFinished(() => dataset.close?.());
  return dataset;
}

const contents = (folder: string): [string, string][] =>
  readdirSync(folder)
    .sort()
    .map((file) => [file, readFileSync(join(folder, file), 'latin1')]);

const read = (dataset: Dataset, index: number, seed = 0) => dataset.read(index, new Generator(seed));

describe('encoded images', () => {
  it.each(['float16', 'float32'] as const)('come back as scaled latents, in %s', async (dtype) => {
    const folder = temporaryFolder();
    const index = await encodeTo(folder, { dtype });
    expect(index.shards.map(({ samples }) => samples)).toEqual([4, 4, 3]);
    const dataset = await open(folder);
    expect(dataset).toMatchObject({
      size: RAMPS,
      sampleShape: [1, 1, 4, 4],
      classNames: ['a', 'b', 'c'],
      autoencoder: { ...autoencoder, downsampling: 2 },
    });
    for (let i = 0; i < RAMPS; i++) {
      const { values, label } = (await read(dataset, i))!;
      expect(label).toBe(i % 3);
      expect(values[0]).toBeCloseTo(firstLatent(i), 5);
      expect(values[3]).toBeCloseTo(firstLatent(i + 6), 5);
    }
  });

  it('are drawn from their distribution', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder, { encoder: fakeEncoder(2 * Math.log(0.25)), dtype: 'float32' });
    const dataset = await open(folder);
    const draws: number[] = [];
    for (let seed = 0; seed < 2000; seed++) draws.push((await read(dataset, 5, seed))!.values[0]);
    const mean = draws.reduce((a, b) => a + b) / draws.length;
    const deviation = Math.sqrt(draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length);
    expect(mean).toBeCloseTo(firstLatent(5), 1.9);
    expect(deviation / (0.25 * autoencoder.scalingFactor)).toBeCloseTo(1, 1);
    expect(await read(dataset, 5, 7)).toEqual(await read(dataset, 5, 7));
    expect(await read(dataset, 5, 7)).not.toEqual(await read(dataset, 5, 8));
  });

  it('are mean + deviation x noise, times the scaling factor', () => {
    const noise = new Generator(3).randn(2);
    const drawn = samplePosterior(Float32Array.of(1, -2, 0, 2 * Math.log(3)), 10, new Generator(3));
    expect(drawn[0]).toBeCloseTo(10 * (1 + noise[0]), 4);
    expect(drawn[1]).toBeCloseTo(10 * (-2 + 3 * noise[1]), 4);
  });

  it('are mirrored half of the time if asked for', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const [asIs, flipping] = [await open(folder), await open(folder, { flip: true })];
    let flips = 0;
    for (let seed = 0; seed < 300; seed++) {
      const { values } = (await read(flipping, 2, seed))!;
      const flipped = values[0] > values[3];
      expect(values[flipped ? 3 : 0]).toBeCloseTo(firstLatent(2), 5);
      expect(values[flipped ? 0 : 3]).toBeCloseTo(firstLatent(8), 5);
      if (flipped) flips++;
      expect((await read(asIs, 2, seed))!.values[0]).toBeCloseTo(firstLatent(2), 5);
    }
    expect(flips).toBeGreaterThan(110);
    expect(flips).toBeLessThan(190);
  });

  it('resume from any position in training as if never interrupted', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder, { encoder: fakeEncoder(0) });
    const take = async (position: number, count: number): Promise<Batch[]> => {
      const dataset = await open(folder, { flip: true });
      const taken: Batch[] = [];
      for await (const batch of batches(dataset, { batchSize: 4, seed: 1, position })) {
        taken.push(batch);
        if (taken.length === count) break;
      }
      return taken;
    };
    const whole = await take(0, 8);
    expect(await take(12, 5)).toEqual(whole.slice(3));
    // Another epoch draws the same image again.
    const values = new Set(whole.flatMap(({ samples }) => [0, 1, 2, 3].map((n) => samples.data[16 * n])));
    expect(values.size).toBe(32);
  });

  it('leave the corrupt ones out, and say how many', async () => {
    const folder = temporaryFolder();
    const index = await encodeTo(folder, { source: ramps([0, 4, 5, 6, 7, 10]) });
    expect(index.shards).toEqual([
      { samples: 3, skipped: 1 },
      { samples: 0, skipped: 4 },
      { samples: 2, skipped: 1 },
    ]);
    const dataset = await open(folder);
    const firsts = [1, 2, 3, 8, 9].map(firstLatent);
    expect(dataset.size).toBe(5);
    for (const [i, first] of firsts.entries())
      expect((await read(dataset, i))!.values[0]).toBeCloseTo(first, 5);
  });

  it('need one that is good', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder, { source: ramps(Array.from({ length: RAMPS }, (_, i) => i)) });
    await expect(openLatents(folder)).rejects.toThrow(DatasetError);
    await expect(openLatents(folder)).rejects.toThrow(/holds no sample/);
  });
});

describe('encoding', () => {
  it.each([1, 3, 6, 9, 10])('that stopped after image %i ends with the same bytes', async (count) => {
    const [straight, stopped] = [temporaryFolder(), temporaryFolder()];
    await encodeTo(straight);
    const controller = new AbortController();
    const hooks = { onImage: (done: number) => done === count && controller.abort(new Error('stopped')) };
    const options = { signal: controller.signal, hooks: hooks as EncodeOptions['hooks'] & object };
    await expect(encodeTo(stopped, options)).rejects.toThrow('stopped');
    if (count < 8) await expect(openLatents(stopped)).rejects.toThrow(/run acdit encode again to finish it/);
    // What a kill at that moment would leave, too.
    writeFileSync(join(stopped, '.shard-00001.safetensors.0123456789ab.tmp'), 'half a shard');
    const encoder = fakeEncoder();
    await encodeTo(stopped, { encoder });
    expect(contents(stopped)).toEqual(contents(straight));
    expect(encoder.encoded()).toBe(2 * (RAMPS - 4 * Math.floor(count / 4)));
  });

  it('does nothing when all is done, and makes again what is damaged or missing', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const before = contents(folder);
    const encoder = fakeEncoder();
    await encodeTo(folder, { encoder });
    expect(encoder.encoded()).toBe(0);
    truncateSync(join(folder, 'shard-00001.safetensors'), 500);
    rmSync(join(folder, 'shard-00002.safetensors'));
    const damaged: string[] = [];
    const images: number[] = [];
    const hooks = {
      onStart: ({ damage, done }: EncodeStart) => void damaged.push(String(done), ...damage),
      onImage: (done: number) => void images.push(done),
    };
    await encodeTo(folder, { encoder, hooks });
    expect(images).toEqual([5, 6, 7, 8, 9, 10, 11]);
    expect(damaged).toEqual([
      '4',
      expect.stringContaining('shard-00001.safetensors'),
      expect.stringContaining('shard-00002.safetensors'),
    ]);
    expect(encoder.encoded()).toBe(2 * 7);
    expect(contents(folder)).toEqual(before);
  });

  it.each<[string, Partial<EncodeOptions>, RegExp]>([
    [
      'data',
      { source: { ...ramps(), fingerprint: async () => 'other' } },
      /the data .* was "ramps" and is now "other"/,
    ],
    ['classes', { source: { ...ramps(), classNames: ['a', 'b', 'd'] } }, /class 2 was 'c' and is now 'd'/],
    ['number of images', { source: { ...ramps(), size: 12 } }, /the number of images was 11 and is now 12/],
    ['size', { source: { ...ramps(), sampleShape: [1, 1, 16, 16] } }, /the image size was 8 and is now 16/],
    ['dtype', { dtype: 'float32' }, /the dtype was "float16"/],
    ['flips', { flips: false }, /whether there are flips was true/],
    ['autoencoder', { autoencoder: { ...autoencoder, fingerprint: 'x' } }, /the autoencoder was/],
    ['scaling', { autoencoder: { ...autoencoder, scalingFactor: 1 } }, /the autoencoder was/],
    ['shard size', { shardSize: 5 }, /the shard size was 4 and is now 5/],
  ])('with another %s is refused, and harms nothing', async (_, changes, message) => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const before = contents(folder);
    await expect(encodeTo(folder, changes)).rejects.toThrow(ConfigError);
    await expect(encodeTo(folder, changes)).rejects.toThrow(message);
    expect(contents(folder)).toEqual(before);
  });

  it('refuses what does not fit the autoencoder', async () => {
    const folder = temporaryFolder();
    const odd = { ...ramps(), sampleShape: [1, 1, 9, 9] } as const;
    await expect(encodeTo(folder, { source: odd })).rejects.toThrow(/multiple of 2, got 9 x 9/);
    const colour = { ...ramps(), sampleShape: [1, 3, 8, 8] } as const;
    await expect(encodeTo(folder, { source: colour })).rejects.toThrow(/takes images of 1 channels, got 3/);
    const huge = { ...ramps(), size: 2 ** 30 };
    await expect(encodeTo(folder, { source: huge, shardSize: 2 ** 29 })).rejects.toThrow(
      /take at most 8388608/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it('keeps away from a folder whose index is gone or damaged', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const index = join(folder, 'index.json');
    truncateSync(index, 100);
    await expect(encodeTo(folder)).rejects.toThrow(FormatError);
    rmSync(index);
    const before = contents(folder);
    await expect(encodeTo(folder)).rejects.toThrow(/holds shard-00000.safetensors but no index/);
    expect(contents(folder)).toEqual(before);
  });

  it.each([Number.NaN, 1e6])('stops at latents of %d, which half precision does not hold', async (mean) => {
    const encoder = fakeEncoder();
    const broken: typeof encoder = {
      ...encoder,
      async encode(images) {
        const distribution = await encoder.encode(images);
        distribution.mean.data[3] = mean;
        return distribution;
      },
    };
    const encoding = encodeTo(temporaryFolder(), { encoder: broken });
    await expect(encoding).rejects.toThrow(AcditError);
    await expect(encoding).rejects.toThrow(/ramps: image 0 .*--dtype fp32/);
  });

  it('passes on that too many images are corrupt', async () => {
    const source: ImageDataset = {
      ...ramps(),
      read: async (index) => (index < 6 ? ramps().read(index) : Promise.reject(new DatasetError('too many'))),
    };
    const folder = temporaryFolder();
    await expect(encodeTo(folder, { source })).rejects.toThrow('too many');
    expect(existsSync(join(folder, 'shard-00000.safetensors'))).toBe(true);
  });

  it('takes IDX files', async () => {
    const data = writeIdxDataset(temporaryFolder(), { count: 5, side: 6, classes: 2 });
    const source = await openImages({ path: data, imageSize: 8, channels: 1 });
    const folder = temporaryFolder();
    expect((await encodeTo(folder, { source })).latentShape).toEqual([1, 4, 4]);
    const other = await openImages({ path: data, imageSize: 8, channels: 1 });
    await encodeTo(folder, { source: other });
    expect((await open(folder)).classNames).toEqual(['0', '1']);
  });
});

describe('a set of latents', () => {
  it('is recognised as a dataset', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const dataset = await openDataset({ path: folder, imageSize: 8, flip: true, crop: 0, split: 'train' });
    expect(dataset.autoencoder?.fingerprint).toBe('abc');
    const nothing = temporaryFolder();
    await expect(openDataset({ path: nothing, kind: 'latents' })).rejects.toThrow(
      /index\.json: does not exist; .*acdit encode/,
    );
  });

  it.each<[LatentsOptions, RegExp]>([
    [{ flip: true }, /without flips \(--no-flip\)/],
    [{ imageSize: 16 }, /of 8 pixels, not 16/],
    [{ channels: 3 }, /channels is for images only/],
    [{ crop: 1 }, /cannot be cropped/],
    [{ split: 'test' }, /have no splits/],
    [{ classNames: ['a'] }, /has 3 classes, got 1 classNames/],
  ])('refuses %j', async (options, message) => {
    const folder = temporaryFolder();
    await encodeTo(folder, { flips: false });
    await expect(openLatents(folder, options)).rejects.toThrow(ConfigError);
    await expect(openLatents(folder, options)).rejects.toThrow(message);
  });

  it('names a shard that is missing or cut short when it is opened', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    truncateSync(join(folder, 'shard-00001.safetensors'), 100);
    await expect(openLatents(folder)).rejects.toThrow(/shard-00001.safetensors: has 100 bytes.*encode again/);
    rmSync(join(folder, 'shard-00001.safetensors'));
    await expect(openLatents(folder)).rejects.toThrow(/shard-00001.safetensors: is missing/);
  });

  it.each<[string, (bytes: Buffer) => void, RegExp]>([
    ['header', (bytes) => bytes.fill(0, 8, 40), /header/],
    ['shape', (bytes) => bytes.write('moments_flopped', bytes.indexOf('moments_flipped')), /is damaged/],
    [
      'label',
      (bytes) => bytes.writeInt32LE(7, dataOffset(bytes, 'labels')),
      /labels is damaged: its checksum is wrong/,
    ],
    ['owner', (bytes) => bytes.write('abd', bytes.indexOf('abc')), /its metadata is damaged/],
  ])('names a shard with a damaged %s when it is read', async (_, damage, message) => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const path = join(folder, 'shard-00001.safetensors');
    const bytes = readFileSync(path);
    damage(bytes);
    writeFileSync(path, bytes);
    const dataset = await open(folder);
    await expect(read(dataset, 5)).rejects.toThrow(FormatError);
    await expect(read(dataset, 5)).rejects.toThrow(message);
    await expect(read(dataset, 5)).rejects.toThrow(/shard-00001\.safetensors/);
    expect(await read(dataset, 1)).toBeDefined();
  });

  it('refuses a label that is not a class', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder, { flips: false });
    const frame = { moments: new Float32Array(32), flipped: undefined };
    const samples = [0, 1, 2, 7].map((label) => ({ frames: [frame], label }));
    await writeShard(folder, await readIndex(folder), 0, samples);
    await expect(read(await open(folder), 0)).rejects.toThrow(/holds the label 7, but there are 3 classes/);
  });

  it('shows one flipped bit of any sample, and encode makes the shard again', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder);
    const before = contents(folder);
    const path = join(folder, 'shard-00001.safetensors');
    const bytes = readFileSync(path);
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    for (let bit = 8 * start; bit < 8 * bytes.length; bit += 97) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(path, flipped);
      const damage: string[] = [];
      await encodeTo(folder, { hooks: { onStart: (start) => void damage.push(...start.damage) } });
      expect(damage, `bit ${bit}`).toEqual([expect.stringMatching(/shard-00001.* is damaged: its checksum/)]);
      expect(contents(folder)).toEqual(before);
    }
    bytes[dataOffset(bytes, 'moments') + 70] ^= 1;
    writeFileSync(path, bytes);
    const dataset = await open(folder);
    const reads = [4, 5, 6, 7].map((sample) => read(dataset, sample));
    await expect(Promise.all(reads)).rejects.toThrow(/shard-00001\.safetensors: .* is damaged: its checksum/);
    expect(await read(dataset, 3)).toBeDefined();
  });

  it('lets one process at a time encode to a folder', async () => {
    const folder = temporaryFolder();
    const both = await Promise.allSettled([encodeTo(folder), encodeTo(folder)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [refused] = both.filter((result) => result.status === 'rejected');
    expect(refused.reason.message).toContain(`process ${process.pid} on this machine is writing to it`);
    const whole = temporaryFolder();
    await encodeTo(whole);
    expect(contents(folder)).toEqual(contents(whole));
  });

  it('names a shard whose values are not numbers, or that is in the place of another', async () => {
    const folder = temporaryFolder();
    await encodeTo(folder, { flips: false });
    const broken = { moments: new Float32Array(32).fill(Number.NaN), flipped: undefined };
    const whole = { moments: new Float32Array(32), flipped: undefined };
    const samples = [whole, whole, whole, broken].map((frame) => ({ frames: [frame], label: 0 }));
    await writeShard(folder, await readIndex(folder), 0, samples);
    copyFileSync(join(folder, 'shard-00000.safetensors'), join(folder, 'shard-00001.safetensors'));
    const dataset = await open(folder);
    await expect(read(dataset, 4)).rejects.toThrow(/shard-00001.*its shard is 0, the index says 1/);
    await expect(read(dataset, 3)).rejects.toThrow(/shard-00000.*sample 3 has values that are no numbers/);
    expect(await read(dataset, 2)).toBeDefined();
  });
});

/** Where a tensor of a safetensors file begins. */
function dataOffset(bytes: Buffer, name: string): number {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  return start + JSON.parse(bytes.toString('utf8', 8, start))[name].data_offsets[0];
}

describe('a pool of shards', () => {
  it('keeps those used last open, never closes one in use, and closes all in the end', async () => {
    const log: string[] = [];
    const pool = createShardPool(async (number): Promise<Shard> => {
      log.push(`open ${number}`);
      const close = async (): Promise<void> => void log.push(`close ${number}`);
      return {
        labels: new Int32Array(),
        frames: new Int32Array(),
        read: async () => new Float32Array(),
        verify: async () => {},
        close,
      };
    }, 2);
    const use = (number: number): Promise<unknown> => pool.use(number, async () => {});
    let finish = (): void => {};
    const long = pool.use(0, () => new Promise<void>((resolve) => (finish = resolve)));
    await use(1);
    await use(2);
    await use(1);
    await use(3);
    expect(log).toEqual(['open 0', 'open 1', 'open 2', 'close 1', 'open 1', 'close 2', 'open 3', 'close 1']);
    finish();
    await long;
    await use(3);
    await use(0);
    log.length = 0;
    await pool.close();
    expect(log.sort()).toEqual(['close 0', 'close 3']);
  });
});
