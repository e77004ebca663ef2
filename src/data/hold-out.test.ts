import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { writeClip } from '../../test/support/clip-files.ts';
import { fakeEncoder } from '../../test/support/fake-encoder.ts';
import { folderOf } from '../../test/support/folder-of.ts';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { ramps } from '../../test/support/ramps.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ConfigError } from '../errors.ts';
import { blankImage, encodePng } from '../media/image.ts';
import { Generator } from '../tensor/generator.ts';
import { fileKey } from './class-folders.ts';
import type { Dataset } from './dataset.ts';
import { isHeldOut, partOf } from './hold-out.ts';
import type { DatasetOptions } from './kinds.ts';
import { encodeLatents } from './latents/encode.ts';
import { openDataset } from './open.ts';
import { localClipReader } from './videos/clip-reader.ts';

/** The first value of every sample of both parts, which the tests make different for each. */
async function partsOf(options: DatasetOptions) {
  const valuesOf = async (part: 'training' | 'heldOut'): Promise<number[]> => {
    const dataset = await openDataset({ ...options, part });
    onTestFinished(() => dataset.close?.());
    const samples = await Promise.all(
      Array.from({ length: dataset.size }, (_, index) => dataset.read(index, new Generator(index))),
    );
    return samples.map((sample) => sample!.values[0]!);
  };
  return { training: await valuesOf('training'), heldOut: await valuesOf('heldOut') };
}

/** The grey of a sample's first pixel. */
const greyOf = (value: number): number => Math.round((value + 1) * 127.5);

async function folderOfGreys(count: number, first = 0): Promise<string> {
  const files = Array.from({ length: count }, async (_, i): Promise<[string, Uint8Array]> => {
    const name = `${i % 2 ? 'a' : 'b'}/${String(first + i).padStart(3, '0')}.png`;
    return [name, await encodePng(blankImage(2, 2, 3, first + i))];
  });
  return folderOf(Object.fromEntries(await Promise.all(files)));
}

describe('held-out samples', () => {
  it('are those whose hash, as a share of all hashes, is below the share', () => {
    // Computed in Python: int.from_bytes(sha256(f'{seed}\n{key}').digest()[:6], 'big') / 2**48
    const hashes = [
      ['a/1.png', 0, 0.958120550386095],
      ['a/2.png', 3, 0.5116518804640009],
      ['b/deep/3.png', 0, 0.016570506164885757],
      ['7', 3, 0.8598545713722494],
    ] as const;
    for (const [key, seed, hash] of hashes) {
      expect([isHeldOut(key, hash + 1e-9, seed), isHeldOut(key, hash - 1e-9, seed)]).toEqual([true, false]);
    }
  });

  it('and those for training are all images of a folder, each in one part', async () => {
    const path = await folderOfGreys(40);
    const { training, heldOut } = await partsOf({ path, imageSize: 2, holdOut: 0.25 });
    expect([...training, ...heldOut].map(greyOf).sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    const expected = Array.from({ length: 40 }, (_, i) => i).filter((i) =>
      isHeldOut(`${i % 2 ? 'a' : 'b'}/${String(i).padStart(3, '0')}.png`, 0.25, 0),
    );
    expect(heldOut.map(greyOf).sort((a, b) => a - b)).toEqual(expected);
    const other = await partsOf({ path, imageSize: 2, holdOut: 0.25, holdOutSeed: 1 });
    expect(other.heldOut).not.toEqual(heldOut);
    const larger = await partsOf({ path, imageSize: 2, holdOut: 0.5 });
    expect(larger.heldOut).toEqual(expect.arrayContaining(heldOut));
  });

  it('stay the same if the folder moves, grows, or has a class folder with another name', async () => {
    const path = await folderOfGreys(30, 10);
    const options = { imageSize: 2, holdOut: 0.3 };
    const { heldOut } = await partsOf({ path, ...options });
    const moved = join(temporaryFolder(), 'moved');
    renameSync(path, moved);
    const more = await folderOfGreys(10);
    for (const [i, label] of ['b', 'a'].entries()) {
      const name = `${String(i).padStart(3, '0')}.png`;
      renameSync(join(more, label, name), join(moved, label, name));
    }
    renameSync(join(moved, 'a'), join(moved, 'A first'));
    const now = await partsOf({ path: moved, ...options, classNames: ['a', 'b'] });
    expect(now.heldOut.filter((value) => greyOf(value) >= 10)).toEqual(heldOut);
    expect(now.training.length + now.heldOut.length).toBe(32);
  });

  it('are the same on systems that store accents apart', () => {
    const keyOf = (name: string) =>
      fileKey('/data', { path: `/data/x/${name}`, label: 0 }, ['café'.normalize('NFD')]);
    expect(keyOf('é.png'.normalize('NFD'))).toBe('caf\u00e9/\u00e9.png');
    expect(keyOf('é.png'.normalize('NFC'))).toBe('caf\u00e9/\u00e9.png');
  });

  it('of IDX files are chosen by their pixels, and never move in a clip of the training', async () => {
    const path = writeIdxDataset(temporaryFolder(), { count: 40, side: 2, classes: 2 });
    const { training, heldOut } = await partsOf({ path, holdOut: 0.3 });
    expect([...training, ...heldOut].map(greyOf).sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    // Clips fill the canvas, so that their pixels are the brightest of their items.
    const moving = { path, frames: 2, imageSize: 2, items: 3, holdOut: 0.3 };
    const clips = await partsOf(moving);
    expect(clips.training).toHaveLength(training.length);
    for (const value of clips.training) expect(training).toContain(value);
    for (const value of clips.heldOut) expect(heldOut).toContain(value);
  });

  it('of latents are chosen by their numbers', async () => {
    const folder = temporaryFolder();
    const autoencoder = { fingerprint: 'abc', scalingFactor: 0.5 };
    await encodeLatents({ source: ramps(), encoder: fakeEncoder(), autoencoder, folder, shardSize: 4 });
    const whole = await openDataset({ path: folder });
    onTestFinished(() => whole.close?.());
    const { training, heldOut } = await partsOf({ path: folder, holdOut: 0.4 });
    expect([training.length + heldOut.length, heldOut.length > 0]).toEqual([whole.size, true]);
    const numbers = [...Array(whole.size).keys()].filter((i) => isHeldOut(String(i), 0.4, 0));
    const first = await Promise.all(numbers.map((i) => whole.read(i, new Generator(0))));
    for (const [i, value] of heldOut.entries()) expect(value).toBeCloseTo(first[i]!.values[0]!, 4);
  });

  it('of videos keep the groups of UCF-101 together', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'Archery'));
    for (let group = 1; group <= 6; group++) {
      for (const part of [1, 2]) {
        const name = join(folder, 'Archery', `v_Archery_g0${group}_c0${part}.webp`);
        await writeClip(name, { frames: 2, side: 8, first: 10 * group });
      }
    }
    const options = { path: folder, imageSize: 8, frames: 2, clipReader: localClipReader() };
    const { training, heldOut } = await partsOf({ ...options, holdOut: 0.4 });
    expect(training.length + heldOut.length).toBe(12);
    expect(heldOut.length).toBeGreaterThan(0);
    for (const value of heldOut) expect(training).not.toContain(value);
  });

  it('give each part a fingerprint of its own', async () => {
    const path = await folderOfGreys(20);
    const fingerprints = await Promise.all(
      [
        {},
        { holdOut: 0.3 },
        { holdOut: 0.3, part: 'heldOut' },
        { holdOut: 0.4 },
        { holdOut: 0.3, holdOutSeed: 2 },
      ].map(async (options) =>
        (await openDataset({ path, imageSize: 2, ...options } as DatasetOptions)).fingerprint!(),
      ),
    );
    expect(new Set(fingerprints).size).toBe(5);
  });

  it('are refused if there are none, or only such, or samples have no keys', async () => {
    const path = await folderOfGreys(4);
    const hold = (holdOut: number): Promise<Dataset> => openDataset({ path, imageSize: 2, holdOut });
    await expect(hold(0.0001)).rejects.toThrow(
      /data.holdOut 0.0001 holds out none of its 4 samples; give a larger share/,
    );
    await expect(hold(0.9999)).rejects.toThrow(/holds out all of its 4 samples; give a smaller share/);
    const one = folderOf({
      ...Object.fromEntries([1, 2, 3].map((i) => [`many/${i}.png`, 'x'])),
      'b/deep/3.png': 'x', // whose hash is 0.017
    });
    await expect(openDataset({ path: one, imageSize: 2, holdOut: 0.02 })).rejects.toThrow(
      'data.holdOut 0.02 holds out all samples of the class b; give a smaller share',
    );
    expect(() => partOf(ramps(), { holdOut: 0.5 })).toThrow(ConfigError);
    expect(partOf(ramps(), {})).toMatchObject({ size: 11 });
  });
});
