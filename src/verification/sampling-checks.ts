/** @file Golden numbers of sampling: predicted noise at the first and last step of each block, and the latents. */

import { at, take } from '../at.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { createSolver } from '../diffusion/solvers/index.ts';
import { FormatError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { EMPTY_CACHE } from '../sampling/cache.ts';
import { openNoisePredictor } from '../sampling/noise-predictor.ts';
import { blockOf } from '../sampling/request.ts';
import { createSampler, finalLatents } from '../sampling/sampler.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import {
  type Check,
  check,
  compare,
  type GoldenNumbers,
  readIndices,
  readLatents,
  readScalar,
  TOLERANCE,
  type VerificationOptions,
} from './check.ts';

/** What was asked of the official sampler, and what it gave. */
type OfficialRun = Awaited<ReturnType<typeof readRun>>;

/** Check what `golden` has of sampling. */
export async function* checkSampling(options: VerificationOptions): AsyncGenerator<Check> {
  const { config, golden } = options;
  if (!golden.has('sample.noise')) return;
  const run = await readRun(config, golden);
  yield* compare(golden, 'sample.timesteps', run.timesteps, TOLERANCE.table);
  yield* checkPredictions(options, run);
  yield* checkLatents(options, run);
}

async function readRun(config: AcditConfig, golden: GoldenNumbers) {
  const noise = await readLatents(config, golden, 'sample.noise');
  const steps = await readScalar(golden, 'sample.steps');
  return {
    labels: await readIndices(golden, 'sample.labels', config.classes + 1, noise.shape[0]),
    cfg: await readScalar(golden, 'sample.cfg'),
    steps,
    timesteps: createSolver('dpm-solver-plus-plus-2m', linearNoiseSchedule(), steps).timesteps,
    noise,
    latents: await readLatents(config, golden, 'sample.latents'),
  };
}

/** Each block is predicted after the official latents of those before it, so that errors do not add up. */
async function* checkPredictions(
  { config, weights, golden, device, signal }: VerificationOptions,
  { labels, timesteps, noise, latents }: OfficialRun,
): AsyncGenerator<Check> {
  if (!golden.has('sample.block0.first.eps')) return;
  const predictor = await openNoisePredictor(device, config, weights, { signal });
  try {
    let cache = EMPTY_CACHE;
    for (let block = 0; block < config.blocks; block++) {
      for (const when of ['first', 'last'] as const) {
        const name = `sample.block${block}.${when}`;
        if (!golden.has(`${name}.eps`)) continue;
        const timestep = at(timesteps, when === 'first' ? 0 : -1);
        const expected = await golden.read(`${name}.eps`);
        const x = oneBlock(toFloat32(await golden.read(`${name}.x`)), noise, name);
        // In the official order: all samples with their labels, then all without.
        const conditions = [labels, labels.map(() => config.classes)]
          .slice(0, expected.data.length / (noise.data.length / config.blocks))
          .flatMap((branch) => branch.map((label) => ({ timestep, label })));
        const table = await predictor.modulations(conditions);
        const { data } = await predictor.denoise(x, conditions, table, cache, signal);
        yield check(`${name}.eps`, data, expected, TOLERANCE.pass);
      }
      if (block < config.blocks - 1) {
        cache = await predictor.append(blockOf(latents, block), cache, signal);
      }
    }
  } finally {
    await predictor.dispose();
  }
}

/** A block's input as (N, B, C), without the axes of size 1 it was stored with. */
function oneBlock(x: Tensor<'float32'>, noise: Tensor<'float32'>, name: string): Tensor<'float32'> {
  const [samples, , tokens, size] = take(noise.shape, 4);
  if (x.data.length !== samples * tokens * size) {
    throw new FormatError(
      `golden ${name}.x has shape [${x.shape}] instead of [${samples},1,${tokens},${size}]`,
    );
  }
  return float32([samples, tokens, size], x.data);
}

async function* checkLatents(
  { config, weights, golden, device, signal }: VerificationOptions,
  { labels, cfg, steps, noise }: OfficialRun,
): AsyncGenerator<Check> {
  const sampler = await createSampler({ config, weights, device, signal, check: false });
  try {
    const request = { labels, cfg, steps, noise, ...(signal && { signal }) };
    const { data } = await finalLatents(sampler.sample(request));
    yield* compare(golden, 'sample.latents', data, TOLERANCE.sampling);
  } finally {
    await sampler.dispose();
  }
}
