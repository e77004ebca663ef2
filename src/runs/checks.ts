/** @file Checks of a run's options, before weights are read and before any work. */

import { stat } from 'node:fs/promises';
import { ArgumentError } from '../errors.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { requireMemory } from '../runtime/machine.ts';
import { type SamplingExtent, samplingMemory } from '../sampling/memory.ts';
import type { Activations } from '../training/gradient-pass.ts';
import { trainingMemory } from '../training/memory.ts';

/**
 * Checks that files can be written without loss: a run replaces one only if it is asked to.
 * @param paths of files to write; undefined ones are left out.
 * @param isNamed whether the caller chose the names, and can choose others.
 * @throws {ArgumentError} if one of them exists and `overwrite` is not set, or is a folder.
 */
export async function requireFreeFiles(
  paths: readonly (string | undefined)[],
  overwrite: boolean | undefined,
  isNamed = true,
): Promise<void> {
  for (const path of paths) {
    const found = path === undefined ? undefined : await stat(path).catch(() => undefined);
    if (path === undefined || !found) continue;
    if (found.isDirectory()) {
      throw new ArgumentError(
        `${path} exists and is a folder; ${isNamed ? 'give another name' : 'move it away'}`,
      );
    }
    if (!overwrite) throw existsError(path, isNamed);
  }
}

/** Makes the error for an output that exists. @param isNamed whether the caller can choose another name */
export function existsError(path: string, isNamed = true): ArgumentError {
  return new ArgumentError(
    `${path} exists; give --overwrite to replace it${isNamed ? ', or another name' : ''}`,
  );
}

const FLOAT = 4;
/** Noise, latents, and the copy of them that is written. */
const COPIES = 3;

/** What determines the memory of a run that samples. */
export interface SampledExtent extends SamplingExtent {
  readonly batch: number;
  /** Samples whose latents are kept until the end (default: those of a batch). */
  readonly kept?: number | undefined;
}

/** Returns the bytes that sampling takes, with the latents. */
export function requiredMemory(
  config: AcditConfig,
  { batch, kept = batch, blocks = config.blocks, ...extent }: SampledExtent,
): number {
  const { total } = samplingMemory(config, batch, { blocks, ...extent });
  const latents = COPIES * FLOAT * Math.max(batch, kept) * blocks * config.blockSize * tokenSize(config);
  return total + latents;
}

/** @throws {ArgumentError} if sampling would take more memory than this process may use. */
export function requireSamplingMemory(config: AcditConfig, extent: SampledExtent): void {
  const what = `sampling with a batch of ${extent.batch}`;
  requireMemory(requiredMemory(config, extent), what, 'give a smaller --batch, or fewer samples or blocks');
}

/** @throws {ArgumentError} if training would take more memory than this process may use. */
export function requireTrainingMemory(config: AcditConfig, batch: number, activations: Activations): void {
  const { total } = trainingMemory(config, batch, activations);
  const remedy = 'give a smaller training.batch, or "activations": "recompute", for some layers or all';
  requireMemory(total, `training with a batch of ${batch}`, remedy);
}
