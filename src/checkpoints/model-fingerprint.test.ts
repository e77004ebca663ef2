/** Fingerprints of models, and when their notes are believed. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { float32, tensorBytes } from '../tensor/tensor.ts';
import { openModel } from './load.ts';
import { modelFingerprint } from './model-fingerprint.ts';
import { saveModel } from './save.ts';

/** Milliseconds after which a file's time of change is old enough. */
const OLD = 2100;

/** Returns a fingerprint, and how many weights were read for it. */
async function fingerprint(path: string): Promise<{ value: string; reads: number }> {
  const model = await openModel(path);
  onTestFinished(() => model.archive.close());
  let reads = 0;
  const archive = {
    ...model.archive,
    read: (name: string) => {
      reads++;
      return model.archive.read(name);
    },
  };
  return { value: await modelFingerprint({ ...model, archive }), reads };
}

/** An independent calculation. */
function expected(bias = 0): string {
  const { classNames: _, ...sizes } = tinyPixels;
  const hash = createHash('sha256').update(JSON.stringify(Object.entries(sizes).sort()));
  for (const [name, value] of formulaWeights(tinyPixels)) {
    hash.update(name).update(
      tensorBytes(
        float32(
          value.shape,
          value.data.map((x) => x + bias),
        ),
      ),
    );
  }
  return hash.digest('hex').slice(0, 16);
}

describe('the fingerprint of a model', () => {
  const all = formulaWeights(tinyPixels).size;
  beforeAll(() => {
    vi.stubEnv('XDG_CACHE_HOME', '/dev/null');
  });
  function useCache(): string {
    const cache = temporaryFolder();
    vi.stubEnv('XDG_CACHE_HOME', cache);
    onTestFinished(() => void vi.stubEnv('XDG_CACHE_HOME', '/dev/null'));
    return join(cache, 'acdit', 'fingerprints');
  }

  it('is noted for a file that has not changed lately, and the note is used', async () => {
    const notes = useCache();
    const path = await saveTiny(join(temporaryFolder(), 'model'), tinyPixels);
    const [first, second] = [await fingerprint(path), await fingerprint(path)];
    expect([first, second]).toEqual([
      { value: expected(), reads: all },
      { value: expected(), reads: all },
    ]);
    await sleep(OLD);
    expect(await fingerprint(path)).toEqual({ value: expected(), reads: all });
    expect(readdirSync(notes)).toHaveLength(1);
    expect(await fingerprint(path)).toEqual({ value: expected(), reads: 0 });
    // A damaged note is passed over.
    const [note] = readdirSync(notes);
    writeFileSync(join(notes, note), 'x'.repeat(16));
    expect(await fingerprint(path)).toEqual({ value: expected(), reads: all });
  });

  it('is computed again for a file with other contents, even of the same size and times', async () => {
    useCache();
    const path = await saveTiny(join(temporaryFolder(), 'model'), tinyPixels);
    const file = join(path, 'model.safetensors');
    const minuteAgo = Date.now() / 1000 - 60;
    utimesSync(file, minuteAgo, minuteAgo);
    await sleep(OLD);
    await fingerprint(path);
    expect((await fingerprint(path)).reads).toBe(0);
    const others = new Map(
      [...formulaWeights(tinyPixels)].map(([name, { shape, data }]) => [
        name,
        float32(
          shape,
          data.map((x) => x + 1),
        ),
      ]),
    );
    const other = join(temporaryFolder(), 'other');
    await saveModel(other, tinyPixels, others);
    const bytes = readFileSync(join(other, 'model.safetensors'));
    for (const replace of [
      () => writeFileSync(file, bytes, { flag: 'r+' }),
      () => {
        writeFileSync(`${file}.new`, bytes);
        renameSync(`${file}.new`, file);
      },
    ]) {
      replace();
      utimesSync(file, minuteAgo, minuteAgo);
      expect(await fingerprint(path)).toEqual({ value: expected(1), reads: all });
    }
  });

  it('keeps the notes that were used last, and no other file of the cache is touched', async () => {
    const notes = useCache();
    const paths = await Promise.all(
      [0, 1].map((i) => saveTiny(join(temporaryFolder(), `model-${i}`), tinyPixels)),
    );
    await sleep(OLD);
    await fingerprint(paths[0]!);
    const [used] = readdirSync(notes);
    const nameOf = (i: number): string => i.toString(16).padStart(64, '0');
    for (let i = 0; i < 300; i++) {
      const path = join(notes, nameOf(i));
      writeFileSync(path, 'f'.repeat(16));
      utimesSync(path, 1e9 + i, 1e9 + i);
    }
    utimesSync(join(notes, used!), 1, 1);
    expect((await fingerprint(paths[0]!)).reads).toBe(0); // which makes it the newest
    const others = ['.note.tmp', 'read me', `${nameOf(1)}.partial`];
    for (const name of others) writeFileSync(join(notes, name), '');
    // Two processes at once, as far as the cache can tell.
    await Promise.all([fingerprint(paths[1]!), fingerprint(paths[1]!)]);
    const left = readdirSync(notes);
    expect(left).toEqual(expect.arrayContaining([used, ...others]));
    expect(left).toHaveLength(256 + others.length);
    expect(left).toContain(nameOf(299));
    expect(left).not.toContain(nameOf(0));
    expect(left).not.toContain(nameOf(45)); // 254 of the 300 are kept
    expect(left).toContain(nameOf(46));
    expect((await fingerprint(paths[1]!)).reads).toBe(0);
  });

  it('needs no cache', async () => {
    const path = await saveTiny(join(temporaryFolder(), 'model'), tinyPixels);
    expect((await fingerprint(path)).value).toBe(expected());
  });
});
