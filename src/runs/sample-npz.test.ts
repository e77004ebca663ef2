import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { altered, BYTES } from '../../test/support/altered-device.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { openModel } from '../checkpoints/load.ts';
import { openCpu } from '../runtime/node.ts';
import { type Reporter, silentReporter } from './reporter.ts';
import { sampleNpz } from './sample-npz.ts';

it('resumes a file after it was aborted, and ends with the same bytes', async () => {
  const folder = temporaryFolder();
  const model = await openModel(await saveTiny(join(folder, 'model'), tinyPixels));
  onTestFinished(() => model.archive.close());
  const options = { model, device: openCpu({ threads: 1 }), count: 6, steps: 2, batch: 2 };
  const whole = join(folder, 'whole.npz');
  expect(await sampleNpz({ ...options, npz: whole })).toMatchObject({
    file: whole,
    shape: [6, 8, 8, 3],
    order: 'random',
    made: 6,
    done: true,
  });

  const npz = join(folder, 'parts.npz');
  const controller = new AbortController();
  const report: Reporter = {
    ...silentReporter,
    progress: () => ({ update: (done) => done > 2 && controller.abort(), finish() {} }),
  };
  const aborted = await sampleNpz({ ...options, npz, report, signal: controller.signal });
  expect(aborted).toMatchObject({ made: 2, done: false });
  expect(await sampleNpz({ ...options, npz })).toMatchObject({ made: 4, done: true });
  expect(readFileSync(npz).equals(readFileSync(whole))).toBe(true);
  expect(await sampleNpz({ ...options, npz })).toMatchObject({ made: 0, done: true });
  await expect(sampleNpz({ ...options, npz, seed: 7 })).rejects.toThrow('was made with seed 42, not 7');
});

it('names the precision that computed the samples, where 8 bits come out wrong', async () => {
  const folder = temporaryFolder();
  const model = await openModel(await saveTiny(join(folder, 'model'), tinyPixels));
  onTestFinished(() => model.archive.close());
  const cpu = openCpu({ threads: 1 });
  const [exact, rounded] = [join(folder, 'exact.npz'), join(folder, 'rounded.npz')];
  const options = { model, count: 4, steps: 2, batch: 2 };
  await sampleNpz({ ...options, device: cpu, npz: exact });
  const warnings: string[] = [];
  const report: Reporter = { ...silentReporter, warn: (message) => warnings.push(message) };
  const device = altered(cpu, BYTES, () => 0);
  const asked = { ...options, device, precision: 'int8', npz: rounded, report } as const;
  expect(await sampleNpz(asked)).toMatchObject({ made: 4, device: 'cpu', precision: 'fp32' });
  expect(warnings).toEqual([expect.stringContaining('int8 on cpu predicts noise')]);
  expect(readFileSync(rounded).equals(readFileSync(exact))).toBe(true);
  // Also on a processor that computes rightly, where the samples would be others.
  expect(await sampleNpz(asked)).toMatchObject({ made: 0, done: true, precision: 'fp32' });
  await expect(sampleNpz({ ...asked, device: cpu })).rejects.toThrow('precision');
});
