/** @file What is said when a sample is no number any more. */

import { type AcditError, ArgumentError, CheckpointError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { groupLayers, parameters } from '../models/acdit/weights.ts';
import type { WeightSource } from './segments.ts';

/** Whether all values are numbers, and finite. */
export function allFinite(values: Float32Array): boolean {
  return values.every(Number.isFinite);
}

/** Why latents became NaN or infinite: reads all weights to see whether they are. */
export async function notFiniteError(
  config: AcditConfig,
  weights: WeightSource,
  { block, step, cfg }: { readonly block: number; readonly step: number; readonly cfg: number },
): Promise<AcditError> {
  const broken: string[] = [];
  for (const name of parameters(config).keys()) if (!allFinite((await weights(name)).data)) broken.push(name);
  if (broken.length > 0) {
    return new CheckpointError(
      `weights of the model are NaN or infinite, so it cannot be sampled from: ${groupLayers(broken).join(', ')}; ` +
        'use an earlier checkpoint',
    );
  }
  return new ArgumentError(
    `sample: latents became NaN or infinite in block ${block + 1}, step ${step + 1}, though all weights are finite; ` +
      `try another solver, more steps or less guidance than ${cfg}`,
  );
}
