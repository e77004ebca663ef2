import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { writeClip } from '../../../test/support/clip-files.ts';
import { fakeEncoder } from '../../../test/support/fake-encoder.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { ConfigError, DatasetError, FormatError } from '../../errors.ts';
import { Generator } from '../../tensor/generator.ts';
import { type Batch, batches } from '../batches.ts';
import type { Dataset } from '../dataset.ts';
import { openDataset, openVideos } from '../open.ts';
import { type EncodeOptions, encodeLatents } from './encode.ts';
import { formatIndex, type LatentsIndex, parseIndex } from './index-file.ts';
import { type LatentsOptions, openLatents } from './latents-dataset.ts';

const autoencoder = { fingerprint: 'abc', scalingFactor: 0.5 };
/** Frames of the videos of two classes. */
const LENGTHS = [9, 6, 12, 9, 4];

/** Frame t of video i is of the value 20 i + 5 t all over. */
async function writeVideos(): Promise<string> {
  const folder = temporaryFolder();
  for (const [i, frames] of LENGTHS.entries()) {
    await writeClip(join(folder, i < 3 ? 'a' : 'b', `${i}.webp`), { frames, side: 8, first: 20 * i });
  }
  return folder;
}

async function encode(data: string, folder: string, changes: Partial<EncodeOptions> = {}) {
  const source = await openVideos({
    path: data,
    imageSize: 8,
    channels: 1,
    frames: 1,
    maximumCorruptShare: 0.1,
  });
  const options = {
    source,
    encoder: fakeEncoder(),
    autoencoder,
    folder,
    shardSize: 2,
    dtype: 'float32',
  } as const;
  return encodeLatents({ ...options, ...changes });
}

async function open(folder: string, options: LatentsOptions = {}): Promise<Dataset> {
  const dataset = await openLatents(folder, { frames: 3, frameInterval: 2, ...options });
  onTestFinished(() => dataset.close?.());
  return dataset;
}

/** The number in its video of the first frame of each, from its latents. */
const framesShown = (values: Float32Array, video: number): number[] =>
  Array.from({ length: values.length / 16 }, (_, t) => {
    const grey = (values[16 * t] / autoencoder.scalingFactor + 1) * 127.5;
    return Math.round(grey - 20 * video) / 5;
  });

const contents = (folder: string) =>
  readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'latin1')]);

describe('encoded videos', () => {
  it('come back as clips from anywhere in them', async () => {
    const folder = temporaryFolder();
    const index = await encode(await writeVideos(), folder);
    expect(index.shards).toEqual([
      { samples: 2, skipped: 0, frames: 15 },
      { samples: 2, skipped: 0, frames: 21 },
      { samples: 1, skipped: 0, frames: 4 },
    ]);
    const dataset = await open(folder);
    expect(dataset).toMatchObject({ size: 5, sampleShape: [3, 1, 4, 4], classNames: ['a', 'b'] });
    for (const [video, length] of LENGTHS.entries()) {
      const starts = new Set<number>();
      for (let seed = 0; seed < 40 && length >= 5; seed++) {
        const { values, label } = (await dataset.read(video, new Generator(seed)))!;
        expect(label).toBe(video < 3 ? 0 : 1);
        const [first, ...rest] = framesShown(values, video);
        expect(rest).toEqual([first + 2, first + 4]);
        starts.add(first);
      }
      expect(starts.size).toBe(Math.max(0, length - 4));
    }
  });

  it('are encoded frame by frame, mirrored too', async () => {
    const encoder = fakeEncoder();
    const most: number[] = [];
    const encodeOne: typeof encoder.encode = (images, options) => {
      most.push(images.shape[0]);
      return encoder.encode(images, options);
    };
    await encode(await writeVideos(), temporaryFolder(), { encoder: { ...encoder, encode: encodeOne } });
    expect(most).toEqual(new Array(40).fill(2));
  });

  it('that are too short are skipped and counted, and too many are an error', async () => {
    const folder = temporaryFolder();
    await encode(await writeVideos(), folder);
    const warnings: string[] = [];
    const dataset = await open(folder, { warn: (line) => warnings.push(line) });
    expect(await dataset.read(4, new Generator(0))).toBeUndefined();
    expect(dataset.corruptCount).toBe(1);
    expect(warnings).toEqual([
      expect.stringMatching(/video 4: has 4 frames, and a clip of 3 frames at an interval of 2 takes 5/),
    ]);
    const strict = await open(folder, { maximumCorruptShare: 0 });
    await expect(strict.read(4, new Generator(0))).rejects.toThrow(DatasetError);
  });

  it('resume from any position in training as if never interrupted', async () => {
    const folder = temporaryFolder();
    await encode(await writeVideos(), folder, { encoder: fakeEncoder(0) });
    const take = async (position: number, count: number): Promise<Batch[]> => {
      const taken: Batch[] = [];
      for await (const batch of batches(await open(folder, { flip: true }), {
        batchSize: 2,
        seed: 1,
        position,
      })) {
        taken.push(batch);
        if (taken.length === count) break;
      }
      return taken;
    };
    expect(await take(4, 3)).toEqual((await take(0, 5)).slice(2));
  });

  it('are the same bytes if encoding was interrupted', async () => {
    const data = await writeVideos();
    const [straight, stopped] = [temporaryFolder(), temporaryFolder()];
    await encode(data, straight);
    const controller = new AbortController();
    let frames = 0;
    const onFrame = (): void => void (++frames === 20 && controller.abort(new Error('stopped')));
    const stopping = encode(data, stopped, { signal: controller.signal, hooks: { onFrame } });
    await expect(stopping).rejects.toThrow('stopped');
    expect(readdirSync(stopped)).toEqual(['index.json', 'shard-00000.safetensors']);
    await encode(data, stopped);
    expect(contents(stopped)).toEqual(contents(straight));
  });

  it('leave out what is corrupt, also if it is found late', async () => {
    const data = await writeVideos();
    const cut = join(data, 'a', '2.webp');
    const bytes = readFileSync(cut);
    writeFileSync(cut, bytes.subarray(0, bytes.length - 20));
    const folder = temporaryFolder();
    const index = await encode(data, folder);
    expect(index.shards[1]).toEqual({ samples: 1, skipped: 1, frames: 9 });
    const { values } = (await (await open(folder)).read(2, new Generator(0)))!;
    expect(framesShown(values, 3).every((frame) => frame >= 0 && frame < 9)).toBe(true);
  });

  it('are detected by openDataset, and refuse what does not fit', async () => {
    const folder = temporaryFolder();
    await encode(await writeVideos(), folder);
    const dataset = await openDataset({ path: folder, frames: 2, frameInterval: 1, imageSize: 8 });
    expect(dataset.sampleShape).toEqual([2, 1, 4, 4]);
    await dataset.close?.();
    await expect(openDataset({ path: folder })).rejects.toThrow(/frames is missing/);
    await expect(openDataset({ path: folder, frames: 2, fold: 1 })).rejects.toThrow(/fold is for/);
    await expect(encode(await writeVideos(), folder, { shardSize: 3 })).rejects.toThrow(ConfigError);
  });

  it('are missing in a set of images', async () => {
    const source = {
      name: 'one',
      size: 1,
      sampleShape: [1, 1, 8, 8],
      classNames: ['a'],
      corruptCount: 0,
      fingerprint: async () => 'one',
      read: async () => ({ values: new Float32Array(64), label: 0 }),
    } as const;
    const folder = temporaryFolder();
    const index = await encodeLatents({ source, encoder: fakeEncoder(), autoencoder, folder });
    expect(Object.keys(index)).not.toContain('clips');
    await expect(openLatents(folder, { frames: 4 })).rejects.toThrow(/are of images, not of videos/);
  });

  it.each<[string, object, RegExp]>([
    ['no count of frames', { shards: [{ samples: 2, skipped: 0 }] }, /shard 0 counts no frames/],
    [
      'fewer frames than videos',
      { shards: [{ samples: 2, skipped: 0, frames: 1 }] },
      /shard 0 counts 1 frames/,
    ],
    ['frames of images', { clips: undefined }, /shard 0 counts 15 frames/],
    ['another kind', { clips: false }, /clips/],
  ])('are refused with an index of %s', async (_, changes, message) => {
    const index = await encode(await writeVideos(), temporaryFolder());
    const parse = () => parseIndex(formatIndex({ ...index, ...changes } as LatentsIndex), 'x');
    expect(parse).toThrow(FormatError);
    expect(parse).toThrow(message);
  });

  it('name a shard whose frames are not those of the index', async () => {
    const folder = temporaryFolder();
    await encode(await writeVideos(), folder);
    const file = join(folder, 'shard-00000.safetensors');
    const bytes = readFileSync(file);
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
    bytes.writeInt32LE(3, 8 + Number(bytes.readBigUInt64LE(0)) + header.frames.data_offsets[0]);
    writeFileSync(file, bytes);
    await expect((await open(folder)).read(0, new Generator(0))).rejects.toThrow(
      /shard-00000.safetensors: frames is damaged/,
    );
  });
});
