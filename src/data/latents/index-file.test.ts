import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { DatasetError, FormatError } from '../../errors.ts';
import {
  finishedCounts,
  formatIndex,
  hasIndex,
  type LatentsIndex,
  newIndex,
  parseIndex,
  readIndex,
  writeIndex,
} from './index-file.ts';

const index = {
  ...newIndex({
    classNames: ['a', 'b'],
    images: 25,
    source: 'abc',
    exifOrientation: false,
    imageSize: 16,
    latentShape: [4, 2, 2],
    dtype: 'float16',
    flips: true,
    autoencoder: { fingerprint: 'def', scalingFactor: 0.18215 },
    shardSize: 10,
  }),
  shards: [
    { samples: 10, skipped: 0 },
    { samples: 7, skipped: 3 },
    { samples: 5, skipped: 0 },
  ],
};
const parse = (changes: object): unknown =>
  parseIndex(formatIndex({ ...index, ...changes } as LatentsIndex), 'x/index.json');

describe('an index', () => {
  it('comes back from its file', async () => {
    const folder = temporaryFolder();
    expect(await hasIndex(folder)).toBe(false);
    await writeIndex(folder, index);
    expect(await hasIndex(folder)).toBe(true);
    expect(await readIndex(folder)).toEqual(index);
    expect(finishedCounts(index)).toEqual({ samples: 22, skipped: 3 });
  });

  it('shows every flipped bit', () => {
    const text = Buffer.from(formatIndex(index));
    for (let bit = 0; bit < 8 * text.length; bit++) {
      const flipped = Buffer.from(text);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      let read: unknown;
      try {
        read = parseIndex(flipped.toString(), 'x');
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
        continue;
      }
      expect(read, `bit ${bit}`).toEqual(index); // white space for white space
    }
  });

  it('is distinguished from other files of its name', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'index.json'), '{"pages": []}');
    expect(await hasIndex(folder)).toBe(false);
    writeFileSync(join(folder, 'shard-00000.safetensors'), '');
    expect(await hasIndex(folder)).toBe(true); // then it is a damaged one
    mkdirSync(join(folder, 'b', 'index.json'), { recursive: true });
    expect(await hasIndex(join(folder, 'b'))).toBe(false);
    await expect(readIndex(join(folder, 'b'))).rejects.toThrow(DatasetError);
  });

  it.each<[string, object, RegExp]>([
    ['another format', { format: 'x' }, /format/],
    ['a later version', { version: 3 }, /version/],
    ['an earlier version that read pixels differently', { version: 1 }, /exifOrientation/],
    ['no class', { classNames: [] }, /classNames/],
    ['no image', { images: 0 }, /images/],
    ['a negative count', { images: -5 }, /images/],
    ['more images than can be ordered', { images: 2 ** 40, shards: [] }, /images/],
    ['a fraction of an image', { images: 2.5 }, /images/],
    ['a flat shape', { latentShape: [4, 4] }, /latentShape/],
    ['a huge side', { latentShape: [4, 2, 1e9] }, /latentShape/],
    ['a huge product', { latentShape: [65536, 65536, 65536] }, /absurdly large/],
    ['an unknown dtype', { dtype: 'float8' }, /dtype/],
    ['a scaling factor of 0', { autoencoder: { fingerprint: 'a', scalingFactor: 0 } }, /scalingFactor/],
    ['a fingerprint that is none', { source: '\u001b[2J' }, /source/],
    ['no scaling factor', { autoencoder: { fingerprint: 'a' } }, /scalingFactor/],
    ['shards of no image', { shardSize: 0 }, /shardSize/],
    ['too many shards', { shards: [...index.shards, ...index.shards] }, /6 shards where there can be 3/],
    ['a shard of too many', { shards: [{ samples: 1e9, skipped: 0 }] }, /shard 0 counts 1000000000 samples/],
    ['a shard of too few', { shards: [{ samples: 3, skipped: 0 }] }, /where there are 10 images/],
    ['a last shard that is too long', { shards: [...index.shards.slice(0, 2), index.shards[0]] }, /shard 2/],
    ['a negative number skipped', { shards: [{ samples: 11, skipped: -1 }] }, /skipped/],
    ['an unknown key', { shape: [1] }, /shape/],
  ])('is refused with %s', (_, changes, message) => {
    expect(() => parse(changes)).toThrow(FormatError);
    expect(() => parse(changes)).toThrow(message);
    expect(() => parse(changes)).toThrow(/^x\/index\.json: [^\n]*$/);
  });

  it('is refused or consistent with any content', () => {
    const json = fc.record(
      Object.fromEntries(
        Object.entries(index).map(([key, value]) => [key, fc.oneof(fc.constant(value), fc.jsonValue())]),
      ),
    );
    fc.assert(
      fc.property(json, (value) => {
        try {
          const { shards, images } = parseIndex(formatIndex(value as LatentsIndex), 'x');
          expect(
            shards.reduce((sum, { samples, skipped }) => sum + samples + skipped, 0),
          ).toBeLessThanOrEqual(images);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
    for (const text of ['', '{', 'null', '[]', '{"format":"acdit-latents"']) {
      expect(() => parseIndex(text, 'x')).toThrow(FormatError);
    }
  });
});
