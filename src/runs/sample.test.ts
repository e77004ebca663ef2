import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { altered, BYTES } from '../../test/support/altered-device.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { visibleFiles } from '../../test/support/visible-files.ts';
import { openModel, type StoredModel } from '../checkpoints/load.ts';
import { parseNpy } from '../formats/npy.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { openCpu } from '../runtime/node.ts';
import { sliceAxis } from '../tensor/axes.ts';
import { type Reporter, silentReporter } from './reporter.ts';
import { type SampleOptions, sample } from './sample.ts';

const device = openCpu({ threads: 1 });

/** An open model, and a folder for its samples. */
async function open(config: AcditConfig): Promise<{ model: StoredModel; out: string }> {
  const folder = temporaryFolder();
  const model = await openModel(await saveTiny(join(folder, 'model'), config));
  onTestFinished(() => model.archive.close());
  return { model, out: join(folder, 'out') };
}

describe('sample', () => {
  it('writes images and a grid, reports progress, and returns what it wrote', async () => {
    const { model, out } = await open(tinyPixels);
    const updates: number[] = [];
    const report: Reporter = {
      ...silentReporter,
      progress: ({ total }) => ({ update: (done) => updates.push(done / total), finish() {} }),
    };
    const result = await sample({
      model,
      device,
      out,
      report,
      labels: [2, [0, 1, 0, 1]],
      steps: 2,
      batch: 1,
    });
    expect(result).toMatchObject({
      samples: [
        { label: 2, name: 'Bag', file: join(out, '000-bag.png') },
        { label: [0, 1, 0, 1], name: 'T-shirt/top / Sneaker / T-shirt/top / Sneaker' },
      ],
      grid: join(out, 'grid.png'),
      steps: 2,
      cfg: 1.5,
      seed: 42,
    });
    expect(visibleFiles(out)).toHaveLength(3);
    expect(updates.at(-1)).toBe(1);
    const again = await sample({ model, device, out, labels: 'bag', steps: 2 });
    expect(again.samples).toMatchObject([{ label: 2, file: join(out, '002-bag.png') }]);
    const [first, second] = [result, again].map(({ samples: [one] }) => readFileSync(one?.file ?? ''));
    expect(first).toEqual(second);
  });

  it('continues videos, whose first blocks it keeps', async () => {
    const { model, out } = await open(tinyClips);
    const latents = (name: string): string => join(out, `${name}.npy`);
    const common = { model, device, out, steps: 2, format: 'png' } as const;
    const first = await sample({ ...common, labels: [1], latents: latents('first') });
    const given = first.samples[0]?.file ?? '';
    const next = await sample({ ...common, labels: [2], continue: given, keep: 1, latents: latents('next') });
    expect(next).toMatchObject({ keptBlocks: 1, samples: [{ file: join(out, '001-class-2') }] });
    const [before, after] = [first, next].map(
      ({ latents: file }) => sliceAxis(parseNpy(readFileSync(file ?? '')) as never, 1, 0, 1).data,
    );
    expect(
      Math.max(
        ...(before ?? []).map((value, i) => Math.abs(Math.min(1, Math.max(-1, value)) - (after?.[i] ?? 9))),
      ),
    ).toBeLessThan(0.01);
  });

  it('ends early if it is aborted, and returns what was finished', async () => {
    const { model, out } = await open(tinyPixels);
    const controller = new AbortController();
    const report: Reporter = {
      ...silentReporter,
      progress: () => ({ update: (passes) => passes === 24 && controller.abort(), finish() {} }),
    };
    const { samples, grid } = await sample({
      model,
      device,
      out,
      report,
      labels: [0, 1, 2, 0],
      steps: 2,
      batch: 1,
      signal: controller.signal,
    });
    expect(samples.map(({ label }) => label)).toEqual([0]);
    expect(grid !== undefined && existsSync(grid)).toBe(true);
  });

  it('names the option that does not fit the model, before it makes a folder', async () => {
    const { model, out } = await open(tinyPixels);
    const field = (options: Partial<Parameters<typeof sample>[0]>) =>
      sample({ model, device, out, ...options }).then(
        () => undefined,
        (error) => error.field,
      );
    expect(await field({ labels: [7] })).toBe('labels');
    expect(await field({ steps: [1, 2] })).toBe('steps');
    expect(await field({ perClass: 1, count: 1 })).toBe('count');
    expect(await field({ batch: 0 })).toBe('batch');
    expect(await field({ fps: 4 })).toBe('fps');
    expect(await field({ keep: 1 })).toBe('keep');
    expect(await field({ vae: 'vae' })).toBe('vae');
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    ['images', tinyPixels],
    ['videos', tinyClips],
  ])('makes %s in float32 where 8 bits come out wrong, and says so', async (_, config) => {
    const { model, out } = await open(config);
    const warnings: string[] = [];
    const report: Reporter = { ...silentReporter, warn: (message) => warnings.push(message) };
    const latentsOf = async (name: string, options: Partial<SampleOptions>) => {
      const latents = join(out, name);
      const result = await sample({ model, device, labels: [1], steps: 2, out, latents, ...options });
      return { result, latents: readFileSync(latents) };
    };
    const exact = await latentsOf('exact.npy', {});
    expect(exact.result).toMatchObject({ device: 'cpu', precision: 'fp32' });
    const wrong = altered(device, BYTES, () => Number.NaN);
    const rounded = await latentsOf('rounded.npy', { device: wrong, precision: 'int8', report });
    expect(rounded.result).toMatchObject({ device: 'cpu', precision: 'fp32' });
    expect(rounded.latents.equals(exact.latents)).toBe(true);
    expect(warnings).toEqual(['int8 on cpu predicts noise that is not finite; fp32 on cpu is used instead']);
  });
});
