/** @file Checks that a batch fits in memory, before weights are read. */

import { ArgumentError } from '../errors.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { machine } from '../runtime/machine.ts';
import { samplingMemory } from '../sampling/memory.ts';
import type { Activations } from '../training/gradient-pass.ts';
import { trainingMemory } from '../training/memory.ts';

/** The part of a request that determines its memory. */
export interface SampledBatch {
  /** Batch size. */
  readonly batch: number;
  /** Max solver steps per block. */
  readonly steps: number;
  readonly guided: boolean;
  readonly blocks?: number | undefined;
  readonly window?: number | undefined;
  /** Samples whose latents are kept until the end (default: those of a batch). */
  readonly kept?: number | undefined;
}

const FLOAT = 4;
/** Noise, latents, and the copy of them that is written. */
const COPIES = 3;

/** @throws {ArgumentError} if sampling would take more memory than this process may use. */
export function requireSamplingMemory(config: AcditConfig, sampled: SampledBatch): void {
  const { batch, kept = batch, blocks = config.blocks, ...extent } = sampled;
  const { total } = samplingMemory(config, batch, { blocks, ...extent });
  const latents = COPIES * FLOAT * Math.max(batch, kept) * blocks * config.blockSize * tokenSize(config);
  requireMemory(total + latents, `sampling with a batch of ${batch}`, '--batch, or fewer samples or blocks');
}

/** @throws {ArgumentError} if training would take more memory than this process may use. */
export function requireTrainingMemory(config: AcditConfig, batch: number, activations: Activations): void {
  const { total } = trainingMemory(config, batch, activations);
  requireMemory(total, `training with a batch of ${batch}`, 'training.batch, or "activations": "recompute"');
}

function requireMemory(needed: number, what: string, remedy: string): void {
  const { memory } = machine();
  if (needed <= memory) return;
  throw new ArgumentError(
    `${what} needs about ${gigabytes(needed)}, but this process may use only ${gigabytes(memory)}; give a smaller ${remedy}`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
