import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { writeClip } from '../../../test/support/clip-files.ts';
import { hasFfmpeg } from '../../../test/support/ffmpeg.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { ConfigError, DatasetError, VideoDecoderError } from '../../errors.ts';
import { Generator } from '../../tensor/generator.ts';
import { type Batch, batches } from '../batches.ts';
import { CorruptVideo, type VideoDataset } from '../dataset.ts';
import type { DatasetOptions } from '../kinds.ts';
import { openDataset, openVideos } from '../open.ts';
import { type ClipReader, localClipReader } from './clip-reader.ts';
import { openVideoFolder } from './video-folder.ts';

/** Two classes of `perClass` videos of 12 frames. */
async function writeVideos(perClass = 2, extension = 'webp'): Promise<string> {
  const folder = temporaryFolder();
  for (const [c, name] of ['fall', 'rise'].entries()) {
    for (let i = 0; i < perClass; i++) {
      const first = 100 * c + (90 * i) / perClass;
      await writeClip(join(folder, name, `${i}.${extension}`), { frames: 12, side: 16, first });
    }
  }
  return folder;
}

const format = { frames: 3, interval: 2, size: 8, channels: 1 } as const;

async function open(path: string, changes: object = {}): Promise<VideoDataset> {
  const dataset = await openVideoFolder(path, { ...format, clipReader: localClipReader(), ...changes });
  onTestFinished(() => dataset.close?.());
  return dataset;
}

describe('a folder of videos', () => {
  it.each(['webp', 'gif', ...(hasFfmpeg ? ['mp4'] : [])])(
    'has one class a folder, of %s',
    async (extension) => {
      const dataset = await open(await writeVideos(2, extension));
      expect(dataset).toMatchObject({ size: 4, sampleShape: [3, 1, 8, 8], classNames: ['fall', 'rise'] });
      const { values, label } = (await dataset.read(2, new Generator(1)))!;
      expect(label).toBe(1);
      expect(values).toHaveLength(3 * 64);
      expect(Math.abs((values[64] - values[0]) * 127.5 - 10)).toBeLessThan(2.5);
    },
  );

  it('shows another part of a video each time, which depends on the generator alone', async () => {
    const folder = await writeVideos();
    const [dataset, again] = [await open(folder), await open(folder)];
    const firsts = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const sample = await dataset.read(0, new Generator(seed));
      expect(await again.read(0, new Generator(seed))).toEqual(sample);
      firsts.add(sample!.values[0]);
    }
    expect(firsts.size).toBeGreaterThan(5);
    expect(firsts.size).toBeLessThanOrEqual(8);
  });

  it('resumes from any position with any batch size, mirroring all frames alike', async () => {
    const folder = await writeVideos(3);
    const take = async (batchSize: number, count: number, position = 0): Promise<number[]> => {
      const taken: Batch[] = [];
      const options = {
        batchSize,
        seed: 4,
        position,
        augmentation: { horizontalFlip: true, cropPadding: 2 },
      };
      for await (const batch of batches(await open(folder), options)) {
        taken.push(batch);
        if (taken.length === count) break;
      }
      return taken.flatMap(({ samples }) => [...samples.data]);
    };
    const whole = await take(2, 6);
    expect(await take(4, 3)).toEqual(whole);
    expect(await take(2, 3, 6)).toEqual(whole.slice(whole.length / 2));
  });

  it('skips what is corrupt or too short, with one warning each, and counts it', async () => {
    const folder = await writeVideos(4);
    const cut = join(folder, 'fall', '1.webp');
    writeFileSync(cut, readFileSync(cut).subarray(0, 200));
    writeFileSync(join(folder, 'fall', '2.webp'), 'no video');
    await writeClip(join(folder, 'rise', '0.webp'), { frames: 4, side: 8 });
    const warnings: string[] = [];
    const dataset = await open(folder, {
      warn: (line: string) => warnings.push(line),
      maximumCorruptShare: 0.1,
    });
    const readAll = () => Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((i) => dataset.read(i, new Generator(i))));
    for (let round = 0; round < 2; round++) {
      const read = (await readAll()).map((sample) => sample !== undefined);
      expect(read).toEqual([true, false, false, true, false, true, true, true]);
    }
    expect(dataset.corruptCount).toBe(3);
    expect(warnings).toHaveLength(3);
    expect(warnings.sort().at(-1)).toMatch(/rise.0\.webp: has 4 frames, and a clip of 3 frames .* takes 5/);
  });

  it('shows the same in place of a corrupt one, whether or not it is known to be', async () => {
    const folder = await writeVideos();
    writeFileSync(join(folder, 'fall', '0.webp'), 'no video');
    const dataset = await open(folder);
    const standIn = async () => {
      const generator = new Generator(6);
      expect(await dataset.read(0, generator)).toBeUndefined();
      return dataset.read(1, generator);
    };
    expect(await standIn()).toEqual(await standIn());
  });

  it('fails when too many are', async () => {
    const folder = await writeVideos(3);
    for (const name of ['0', '1', '2']) writeFileSync(join(folder, 'fall', `${name}.webp`), 'no video');
    const dataset = await open(folder);
    const readAll = async () => {
      for (let i = 0; i < 6; i++) await dataset.read(i, new Generator(i));
    };
    const reading = readAll();
    await expect(reading).rejects.toThrow(DatasetError);
    await expect(reading).rejects.toThrow(/3 of the 3 videos read so far are corrupt, at most 5% may be/);
  });

  it('blames no file if there is no decoder', async () => {
    const clipReader: ClipReader = {
      read: () => Promise.reject(new VideoDecoderError('there is no ffmpeg')),
      close: async () => {},
    };
    const dataset = await open(await writeVideos(1), { clipReader });
    await expect(dataset.read(0, new Generator(0))).rejects.toThrow(VideoDecoderError);
    expect(dataset.corruptCount).toBe(0);
  });

  it('gives whole videos, to be encoded', async () => {
    const folder = await writeVideos();
    const broken = join(folder, 'rise', '1.webp');
    writeFileSync(broken, readFileSync(broken).subarray(0, 100));
    const dataset = await open(folder);
    const greys = async (index: number): Promise<number[]> => {
      const all: number[] = [];
      for await (const frame of dataset.record(index).frames) all.push(Math.round((frame[5] + 1) * 127.5));
      return all;
    };
    expect(dataset.record(2).label).toBe(1);
    expect(await greys(2)).toEqual(Array.from({ length: 12 }, (_, t) => 100 + 5 * t));
    await expect(greys(3)).rejects.toThrow(CorruptVideo);
    expect(dataset.corruptCount).toBe(1);
    expect(await dataset.fingerprint()).toBe(await (await open(folder)).fingerprint());
  });

  it('is opened where frames are asked for', async () => {
    const path = await writeVideos(1);
    const dataset = await openDataset({ path, imageSize: 8, frames: 4 });
    expect(dataset.sampleShape).toEqual([4, 3, 8, 8]);
    await dataset.close?.();
    const wrong = (changes: Partial<DatasetOptions>) =>
      openDataset({ path, imageSize: 8, frames: 4, ...changes });
    await expect(wrong({ imageSize: undefined })).rejects.toThrow(
      /imageSize is missing; say to what size its frames/,
    );
    await expect(wrong({ fold: 1 })).rejects.toThrow(ConfigError);
    await expect(wrong({ items: 1 })).rejects.toThrow(/items is for data of kind moving-idx/);
    await expect(wrong({ split: 'test' })).rejects.toThrow(/no test videos/);
    await expect(wrong({ path: join(path, 'fall') })).rejects.toThrow(/has no folders; .*videos/);
    await expect(openVideos({ path, imageSize: 8 })).rejects.toThrow(/frames is missing/);
    await expect(openVideos({ path: join(path, 'fall', '0.webp'), imageSize: 8 })).rejects.toThrow(
      /expected a folder/,
    );
  });
});
