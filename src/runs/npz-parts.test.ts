import { copyFileSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { openModel } from '../checkpoints/load.ts';
import { ArgumentError, FormatError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { openFile } from '../io/file-source.ts';
import { openCpu } from '../runtime/node.ts';
import { rangeOfPart } from './npz-parts.ts';
import { type SampleNpzOptions, sampleNpz } from './sample-npz.ts';

/** 7 samples in 4 batches. */
async function sampling() {
  const folder = temporaryFolder();
  const model = await openModel(await saveTiny(join(folder, 'model'), tinyPixels));
  onTestFinished(() => model.archive.close());
  const npz = join(folder, 'samples.npz');
  const options = { model, device: openCpu({ threads: 1 }), count: 7, steps: 1, batch: 2, npz };
  const run = (changes: Partial<SampleNpzOptions> = {}) => sampleNpz({ ...options, ...changes });
  const part = (number: number, of: number, changes: Partial<SampleNpzOptions> = {}) =>
    run({ part: { number, of }, ...changes });
  const partPath = (number: number, of: number) => join(folder, `samples.part-${number}-of-${of}.npz`);
  const whole = async (): Promise<Buffer> => {
    const path = join(folder, 'whole.npz');
    await run({ npz: path });
    return readFileSync(path);
  };
  return { folder, npz, run, part, partPath, whole };
}

describe('parts of a file of samples', () => {
  it('begin where batches do, and leave nothing out', () => {
    const sizes = { count: fc.integer({ min: 1, max: 500 }), batch: fc.integer({ min: 1, max: 40 }) };
    fc.assert(
      fc.property(fc.record({ ...sizes, of: fc.integer({ min: 1, max: 30 }) }), ({ count, batch, of }) => {
        const ranges = Array.from({ length: of }, (_, i) => rangeOfPart(count, batch, { number: i + 1, of }));
        expect(ranges[0]!.first).toBe(0);
        expect(ranges.at(-1)!.end).toBe(count);
        for (const [i, { first, end }] of ranges.entries()) {
          expect(first % batch === 0 || first === count).toBe(true);
          expect(ranges[i + 1]?.first ?? count).toBe(end);
          expect(Math.ceil((end - first) / batch)).toBeLessThanOrEqual(
            Math.ceil(Math.ceil(count / batch) / of),
          );
        }
      }),
    );
  });

  // With 6 parts, two have no batch.
  it.each([1, 2, 3, 6])('give the file of a single run: %i', async (of) => {
    const { npz, run, part, partPath, whole } = await sampling();
    let made = 0;
    for (let number = of; number >= 1; number--) {
      const result = await part(number, of);
      expect(result).toMatchObject({ file: partPath(number, of), done: true });
      made += result.made;
    }
    expect(made).toBe(7);
    expect(await part(1, of)).toMatchObject({ made: 0, done: true });
    expect(await run()).toMatchObject({ file: npz, shape: [7, 8, 8, 3], made: 0, done: true });
    expect(readFileSync(npz).equals(await whole())).toBe(true);
  });

  it('are files of their own', async () => {
    const { part, partPath, whole, npz, run } = await sampling();
    await part(1, 2);
    await part(2, 2);
    await run();
    await whole();
    const read = async (path: string) => {
      const archive = await openNpz(await openFile(path));
      onTestFinished(() => archive.close());
      return { images: (await archive.read('arr_0')).data, labels: (await archive.read('arr_1')).data };
    };
    const all = await read(npz);
    const [first, second] = [await read(partPath(1, 2)), await read(partPath(2, 2))];
    expect([...first.images, ...second.images]).toEqual([...all.images]);
    expect([...first.labels, ...second.labels]).toEqual([...all.labels]);
    expect(first.labels).toHaveLength(4);
  });

  it('are not combined before all are finished', async () => {
    const { npz, run, part, partPath } = await sampling();
    const controller = new AbortController();
    controller.abort(new Error('stopped'));
    await part(1, 3);
    await part(2, 3, { signal: controller.signal }).catch(() => {});
    const combined = run();
    await expect(combined).rejects.toThrow(ArgumentError);
    await expect(combined).rejects.toThrow(
      `cannot combine the parts of ${npz}: parts 2, 3 of 3 are not finished; run what is missing, such as --part 2/3`,
    );
    expect(existsSync(npz)).toBe(false);
    await part(2, 3);
    await part(3, 3);
    rmSync(partPath(3, 3));
    await expect(run()).rejects.toThrow('part 3 of 3 is not finished');
  });

  it('are refused if they were made with other settings', async () => {
    const { run, part } = await sampling();
    await part(1, 2);
    await part(2, 2, { seed: 7 });
    await expect(run()).rejects.toThrow(
      'samples.part-2-of-2.npz is finished, but was made with seed 7, not 42; remove it, and run its part again',
    );
    await part(2, 2, { overwrite: true });
    await expect(run({ batch: 1 })).rejects.toThrow(/was made with .*batch 2, not 1/);
    await expect(run({ count: 8 })).rejects.toThrow(/was made with .*samples 7, not 8/);
    expect(await run()).toMatchObject({ done: true });
  });

  it('are refused if there are those of two divisions', async () => {
    const { run, part } = await sampling();
    await part(1, 2);
    await part(1, 3);
    await expect(run()).rejects.toThrow(/into 2 parts and into 3|into 3 parts and into 2/);
  });

  it('are checked before anything is taken from them', async () => {
    const { npz, run, part, partPath, whole } = await sampling();
    await part(1, 2);
    await part(2, 2);
    const path = partPath(2, 2);
    const good = readFileSync(path);
    truncateSync(path, good.length - 100);
    await expect(run()).rejects.toThrow(
      `${path} exists, but does not record what it was made with; remove it`,
    );
    const flipped = Buffer.from(good);
    flipped[300]! ^= 1; // a pixel
    writeFileSync(path, flipped);
    await expect(run()).rejects.toThrow(FormatError);
    copyFileSync(partPath(1, 2), path);
    await expect(run()).rejects.toThrow(/part "1\/2", not "2\/2"/);
    writeFileSync(path, good);
    await run();
    expect(readFileSync(npz).equals(await whole())).toBe(true);
  });

  it('resume after an abort, also while they are combined', async () => {
    const { npz, run, part, whole } = await sampling();
    const stopAfter = (samples: number) => {
      const controller = new AbortController();
      const update = (done: number) => done >= samples && controller.abort(new Error('stopped'));
      const report = { say() {}, note() {}, warn() {}, emit() {}, progress: () => ({ update, finish() {} }) };
      return { signal: controller.signal, report };
    };
    expect(await part(1, 2, stopAfter(2))).toMatchObject({ done: false });
    expect((await part(1, 2)).done).toBe(true);
    await part(2, 2);
    await run(stopAfter(2)).catch(() => {});
    expect(existsSync(npz)).toBe(false);
    expect(await run()).toMatchObject({ done: true });
    expect(readFileSync(npz).equals(await whole())).toBe(true);
  });
});
