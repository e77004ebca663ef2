/** @file How near samples come to the exact solution from the same noise, and what they cost. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { at } from '../../src/at.ts';
import { type StoredModel, weightSource } from '../../src/checkpoints/load.ts';
import { encodeNpy, parseNpy } from '../../src/formats/npy.ts';
import type { Device } from '../../src/runtime/device.ts';
import type { Precision } from '../../src/sampling/precision.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import type { SettingsRequest } from '../../src/sampling/settings.ts';
import { joinAxis } from '../../src/tensor/axes.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { samplesToNoise } from '../../test/support/signal-to-noise.ts';
import type { Exactness, Row } from './rows.ts';

const REFERENCE_STEPS = 200;
const BATCH = 16;

/** Compares `count` samples with those of 200 steps in float32, with the same guidance, which are kept in `folder`. */
export async function exactness(
  model: StoredModel,
  device: Device,
  { settings }: Row,
  count: number,
  folder: string,
  precision: Precision,
): Promise<Exactness> {
  const { guidance } = settings;
  const exact: SettingsRequest = {
    steps: REFERENCE_STEPS,
    timesteps: 'logsnr',
    ...(guidance && { guidance }),
  };
  const id = createHash('sha256')
    .update(JSON.stringify([exact, count]))
    .digest('hex')
    .slice(0, 8);
  const path = join(folder, `exact-${id}.npy`);
  if (!existsSync(path)) {
    writeFileSync(path, encodeNpy((await latentsOf(model, device, exact, count, 'fp32')).latents));
  }
  const reference = parseNpy(readFileSync(path), path) as Tensor<'float32'>;
  const { latents, seconds } = await latentsOf(model, device, settings, count, precision);
  const ratios = samplesToNoise(reference, latents);
  const psnr = { median: at(ratios, Math.floor(count / 2)), worstTenth: at(ratios, Math.floor(count / 10)) };
  return { psnr, seconds: seconds / count };
}

async function latentsOf(
  model: StoredModel,
  device: Device,
  settings: SettingsRequest,
  count: number,
  precision: Precision,
) {
  const { config } = model;
  const tuned = settings.solver === 'tuned' ? await model.tunedSolver?.() : undefined;
  const sampler = await createSampler({ config, weights: weightSource(model), device, precision });
  const labels = Array.from({ length: count }, (_, i) => i % config.classes);
  const parts: Tensor<'float32'>[] = [];
  const before = process.cpuUsage();
  for (let first = 0; first < count; first += BATCH) {
    const batch = labels.slice(first, first + BATCH);
    const request = { ...settings, ...(tuned && { tuned }), labels: batch, first, seed: 1 };
    parts.push(await finalLatents(sampler.sample(request)));
  }
  const { user, system } = process.cpuUsage(before);
  await sampler.dispose();
  return { latents: joinAxis(parts, 0), seconds: (user + system) / 1e6 };
}
