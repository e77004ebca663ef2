/** @file Guidance in passes: the branches that a step asks the network for, and what their predictions combine to. */

import { type GuidanceBranches, guidanceBranches, guide } from '../diffusion/guidance.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Condition } from './modulation-table.ts';
import { labelsOf, type SamplePlan } from './request.ts';

/** A guidance branch. */
export type Branch = Exclude<GuidanceBranches, 'both'>;

/** Returns the branches of a step, in their order. */
export function stepBranches(scale: number): Branch[] {
  const branches = guidanceBranches(scale);
  return branches === 'both' ? ['conditional', 'unconditional'] : [branches];
}

/** Returns the branches that some step of a plan may need. Outside the interval of guidance, the scale is 1. */
export function planBranches({ guidance: { scale, interval } }: Pick<SamplePlan, 'guidance'>): Branch[] {
  const scales = interval ? [...scale, 1] : scale;
  return [...new Set(scales.flatMap(stepBranches))];
}

/** Returns what a branch's finished block is conditioned on, in models without clean copies: little noise, and its label. */
export function finishedConditions(
  config: AcditConfig,
  plan: SamplePlan,
  block: number,
  branch: Branch,
): Condition[] {
  return labelsOf(plan, block).map((label) => ({
    timestep: plan.contextNoise,
    label: branch === 'conditional' ? label : config.classes,
  }));
}

/**
 * Returns the samples with their labels, the samples without them, or both, as a guidance scale needs.
 * @param labels of a block, one per sample
 */
export function stepConditions(
  { classes }: AcditConfig,
  labels: readonly number[],
  timestep: number,
  scale: number,
): Condition[] {
  const branches = guidanceBranches(scale);
  const labelled = labels.map((label) => ({ timestep, label }));
  const unlabelled = labels.map(() => ({ timestep, label: classes }));
  if (branches === 'both') return [...labelled, ...unlabelled];
  return branches === 'conditional' ? labelled : unlabelled;
}

/** Combines the predictions (R, N, B, C) of all branches to the guided one, N x B x C values. */
export function guidedPrediction({ shape, data }: Tensor<'float32'>, scale: number): Float32Array {
  if (shape[0] === 1) return data;
  const half = data.length / 2;
  return guide(data.subarray(0, half), data.subarray(half), scale);
}
