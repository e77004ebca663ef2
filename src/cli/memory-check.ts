/** @file Whether what is asked for fits in memory, before weights are read. */

import { ArgumentError } from '../errors.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { machine } from '../runtime/machine.ts';
import { samplingMemory } from '../sampling/memory.ts';
import type { Activations } from '../training/gradient-pass.ts';
import { trainingMemory } from '../training/memory.ts';

/** What is sampled at a time, as far as it takes memory. */
export interface SampledBatch {
  /** Samples at a time. */
  readonly batch: number;
  /** The most solver steps of a block. */
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
  requireMemory(total + latents, `sampling ${batch} at a time`, '--batch, or fewer samples or blocks');
}

/** @throws {ArgumentError} if training would take more memory than this process may use. */
export function requireTrainingMemory(config: AcditConfig, batch: number, activations: Activations): void {
  const { total } = trainingMemory(config, batch, activations);
  requireMemory(total, `training on ${batch} at a time`, 'training.batch, or "activations": "recompute"');
}

function requireMemory(needed: number, what: string, remedy: string): void {
  const { memory } = machine();
  if (needed <= memory) return;
  throw new ArgumentError(
    `${what} takes about ${gigabytes(needed)}, and this process may use ${gigabytes(memory)}; give a smaller ${remedy}`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
