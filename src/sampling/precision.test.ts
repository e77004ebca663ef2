import { afterAll, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { openCpu } from '../runtime/node.ts';
import { PRECISIONS, type Precision, precisionsOf } from './precision.ts';
import { createSampler } from './sampler.ts';

const cpu = openCpu({ threads: 1 });
afterAll(() => cpu.dispose());

it('that a device cannot run is one line that says which it can', async () => {
  const model = { config: tinyPixels, weights: formulaWeights(tinyPixels) };
  const gpu = { ...cpu, name: 'webgpu', separateMemory: true };
  await expect(createSampler({ ...model, device: gpu, precision: 'int8' })).rejects.toThrow(
    'precision int8 is not available on webgpu, which computes in fp32 or fp16',
  );
  await expect(createSampler({ ...model, device: cpu, precision: 'int4' as Precision })).rejects.toThrow(
    `precision must be one of ${PRECISIONS.join(', ')}, got 'int4'`,
  );
});

it('of a device are run by it', async () => {
  for (const precision of precisionsOf(cpu)) {
    await (
      await createSampler({ config: tinyPixels, weights: formulaWeights(tinyPixels), device: cpu, precision })
    ).dispose();
  }
});
