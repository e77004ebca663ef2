/**
 * @file Waiting times of a user: loading a model of full size, starting `acdit sample`, and 16 images of the bundled
 * model. Usage: npm run build && npm run bench:start -- [XL|H|...]
 * The full-size model is written to a temporary folder first and read back from the file cache.
 */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel, weightSource } from '../src/checkpoints/load.ts';
import { saveModel } from '../src/checkpoints/save.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler } from '../src/sampling/sampler.ts';
import { formulaWeights, paperImageConfig } from '../test/support/formula-weights.ts';
import { time } from './matrix-speed.ts';

const size = (process.argv[2] ?? 'XL') as 'B' | 'L' | 'XL' | 'H';
const command = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'acdit-bench-'));

/** Seconds from starting `acdit sample` until it ends, and until it reports its first step. */
async function sampleCommand(count: number): Promise<{ total: number; firstStep: number }> {
  const start = performance.now();
  const child = spawn(
    process.execPath,
    [command, 'sample', '--count', String(count), '--out', join(folder, 'out')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let firstStep = Number.NaN;
  child.stderr.on('data', () => {
    if (Number.isNaN(firstStep)) firstStep = (performance.now() - start) / 1000;
  });
  await new Promise((resolve) => child.on('close', resolve));
  return { total: (performance.now() - start) / 1000, firstStep };
}

try {
  const config = paperImageConfig(size);
  await saveModel(folder, config, formulaWeights(config));
  const model = await openModel(folder);
  const milliseconds = await time(async () => {
    const sampler = await createSampler({ config, weights: weightSource(model), device: openCpu() });
    await sampler.dispose();
  });
  await model.archive.close();
  console.log(`ACDiT-${size} from safetensors, ready to sample: ${(milliseconds / 1000).toFixed(1)} s`);
  for (let i = 0; i < 3; i++) {
    const { total, firstStep } = await sampleCommand(16);
    console.log(
      `acdit sample, 16 images: ${total.toFixed(1)} s; first step reported after ${firstStep.toFixed(2)} s`,
    );
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
