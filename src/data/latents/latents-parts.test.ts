import { copyFileSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fakeEncoder } from '../../../test/support/fake-encoder.ts';
import { ramps } from '../../../test/support/ramps.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { ConfigError, DatasetError, FormatError } from '../../errors.ts';
import { type EncodeOptions, type EncodeStart, encodeLatents } from './encode.ts';

const autoencoder = { fingerprint: 'abc', scalingFactor: 0.5 };

const source = ramps([3]);

/** Shards of 2, 2, 2, 2, 2 and 1 images. */
function encode(folder: string, changes: Partial<EncodeOptions> = {}) {
  return encodeLatents({ source, encoder: fakeEncoder(), autoencoder, folder, shardSize: 2, ...changes });
}
const encodePart = (folder: string, number: number, of: number, changes: Partial<EncodeOptions> = {}) =>
  encode(folder, { part: { number, of }, ...changes });

const content = (folder: string) =>
  readdirSync(folder)
    .sort()
    .map((name) => [name, readFileSync(join(folder, name)).toString('base64')]);

describe('parts of a set of latents', () => {
  // With 8 parts, two have no shard.
  it.each([1, 2, 4, 8])('give the files of a single run: %i', async (of) => {
    const [folder, whole] = [temporaryFolder(), temporaryFolder()];
    for (let number = of; number >= 1; number--) {
      const { shards } = await encodePart(folder, number, of);
      expect(shards).toHaveLength(Math.ceil((6 - number + 1) / of));
    }
    const encoder = fakeEncoder();
    await encode(folder, { encoder });
    expect(encoder.encoded()).toBe(0);
    await encode(whole);
    expect(content(folder)).toEqual(content(whole));
    // Parts that are started again after that find nothing to do.
    expect((await encodePart(folder, 1, of, { encoder })).shards).toHaveLength(Math.ceil(6 / of));
    expect(encoder.encoded()).toBe(0);
    expect(content(folder)).toEqual(content(whole));
  });

  it('run at the same time, each once', async () => {
    const [folder, whole] = [temporaryFolder(), temporaryFolder()];
    await Promise.all([1, 2, 3].map((number) => encodePart(folder, number, 3)));
    const second = (): Promise<unknown> => encodePart(folder, 1, 2);
    await expect(second()).rejects.toThrow('is encoded in 3 parts, not in 2');
    await encode(folder);
    await encode(whole);
    expect(content(folder)).toEqual(content(whole));
  });

  it('are not combined before all are finished', async () => {
    const folder = temporaryFolder();
    await encodePart(folder, 1, 3);
    const controller = new AbortController();
    const onShard = () => controller.abort(new Error('stopped'));
    const stopped = encodePart(folder, 2, 3, { signal: controller.signal, hooks: { onShard } });
    await expect(stopped).rejects.toThrow('stopped');
    await expect(encode(folder)).rejects.toThrow(ConfigError);
    await expect(encode(folder)).rejects.toThrow(
      'parts 2, 3 of 3 are not finished; run what is missing, such as --part 2/3',
    );
    const done: number[] = [];
    const hooks = { onStart: (start: EncodeStart) => void done.push(start.done) };
    await encodePart(folder, 2, 3, { hooks });
    expect(done).toEqual([2]);
    await encodePart(folder, 3, 3);
    expect((await encode(folder)).shards).toHaveLength(6);
  });

  it('are refused with other settings, another autoencoder or other data', async () => {
    const folder = temporaryFolder();
    await encodePart(folder, 1, 2);
    const other = { ...autoencoder, fingerprint: 'xyz' };
    await expect(encodePart(folder, 2, 2, { autoencoder: other })).rejects.toThrow(
      /part 1 of .* was encoded with other settings: the autoencoder was .*abc.* and is now .*xyz/,
    );
    await expect(encodePart(folder, 2, 2, { flips: false })).rejects.toThrow('whether there are flips');
    const data = { ...source, fingerprint: async () => 'others' };
    await expect(encode(folder, { source: data })).rejects.toThrow('the data');
    await encodePart(folder, 2, 2);
    copyFileSync(join(folder, 'index.part-1-of-2.json'), join(folder, 'index.part-2-of-2.json'));
    await expect(encode(folder)).rejects.toThrow(FormatError);
    await expect(encode(folder)).rejects.toThrow('is of another part');
  });

  it('are refused in a folder that was begun as a whole, or holds shards of nobody', async () => {
    const folder = temporaryFolder();
    const controller = new AbortController();
    const onShard = () => controller.abort(new Error('stopped'));
    await encode(folder, { signal: controller.signal, hooks: { onShard } }).catch(() => {});
    await expect(encodePart(folder, 1, 2)).rejects.toThrow('was begun as a whole, not in parts');
    rmSync(join(folder, 'index.json'));
    await expect(encodePart(folder, 1, 2)).rejects.toThrow(DatasetError);
    await expect(encode(folder)).rejects.toThrow('no index of latents');
  });

  it('are made again where a shard was cut off or lost', async () => {
    const [folder, whole] = [temporaryFolder(), temporaryFolder()];
    for (const number of [1, 2]) await encodePart(folder, number, 2);
    truncateSync(join(folder, 'shard-00001.safetensors'), 100);
    rmSync(join(folder, 'shard-00002.safetensors'));
    const damage: string[] = [];
    await encode(folder, { hooks: { onStart: (start) => void damage.push(...start.damage) } });
    expect(damage).toEqual([expect.stringContaining('shard-00001'), expect.stringContaining('shard-00002')]);
    await encode(whole);
    expect(content(folder)).toEqual(content(whole));
  });
});
