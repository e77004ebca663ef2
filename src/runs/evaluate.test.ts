import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyClassifier } from '../../test/support/tiny-classifier.ts';
import { saveClassifier } from '../checkpoints/classifier.ts';
import { encodeNpz } from '../formats/npz.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import { evaluateSamples, writeEvaluationReport } from './evaluate.ts';
import { type Reporter, silentReporter } from './reporter.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

const inFolder = (...names: string[]): string => join(folder, ...names);
const device = openCpu({ threads: 1 });

async function writeFeatures(name: string, seed: number): Promise<string> {
  const features = float32([40, 6], Generator.seeded(seed).randn(240));
  writeFileSync(inFolder(name), await encodeNpz({ features }));
  return inFolder(name);
}

async function writeImages(name: string, seed: number): Promise<string> {
  const data = Uint8Array.from(Generator.seeded(seed).randint(0, 256, 12 * 192));
  writeFileSync(inFolder(name), await encodeNpz({ arr_0: tensor('uint8', [12, 8, 8, 3], data) }));
  return inFolder(name);
}

describe('evaluateSamples', () => {
  it('compares features, and returns metrics with their warnings', async () => {
    const warned: string[] = [];
    const report: Reporter = { ...silentReporter, warn: (message) => warned.push(message) };
    const reference = await writeFeatures('reference.npz', 1);
    const options = { reference, samples: await writeFeatures('samples.npz', 2), device, report };
    const { metrics, sets, warnings } = await evaluateSamples(options);
    expect(metrics).toMatchObject({ frechetDistance: expect.any(Number), kid: expect.any(Number) });
    expect(sets.reference.features?.shape).toEqual([40, 6]);
    expect(warnings).toEqual(warned);
    expect(warnings.join()).toContain('40 samples');
    const { metrics: same } = await evaluateSamples({ ...options, samples: reference });
    expect(same).toMatchObject({ frechetDistance: 0, kid: 0 });
  });

  it('computes features with a network, keeps them, and writes a report', async () => {
    await saveClassifier(inFolder('classifier'), tinyClassifier(['a', 'b', 'c']));
    const options = {
      reference: await writeImages('reference.npz', 1),
      samples: await writeImages('samples.npz', 2),
      network: inFolder('classifier'),
      device,
      metrics: { seed: 3 },
      save: { samples: inFolder('features.npz') },
    };
    const result = await evaluateSamples(options);
    expect(result.metrics.frechetDistance).toBeGreaterThan(0);
    await writeEvaluationReport(inFolder('report.html'), result, options);
    expect(readFileSync(inFolder('report.html'), 'utf8')).toContain('Fréchet distance');

    await expect(evaluateSamples(options)).rejects.toThrow('features.npz exists');
    const { metrics } = await evaluateSamples({ ...options, samples: inFolder('features.npz'), save: {} });
    expect(metrics.frechetDistance).toBe(result.metrics.frechetDistance);
  });

  it('stops when it is aborted', async () => {
    const reference = await writeFeatures('reference.npz', 1);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(evaluateSamples({ reference, samples: reference, device, signal })).rejects.toThrow();
  });
});
