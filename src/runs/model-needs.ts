/** @file What a model needs: arithmetic for a step, a sample and training, and memory. */

import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { type AcditConfig, canExtend } from '../models/acdit/config.ts';
import { layerShare, sampleCost, sequenceCost, stepCost, trainingCost } from '../models/acdit/cost.ts';
import { planBranches } from '../sampling/guided.ts';
import { type SamplingMemory, samplingMemory } from '../sampling/memory.ts';
import { planSettings } from '../sampling/settings.ts';
import { type TrainingMemory, trainingMemory } from '../training/memory.ts';

/** Multiply-adds in one guidance branch, and with guidance, which has two. FLOPs are twice as many. */
export interface Macs {
  readonly plain: number;
  readonly guided: number;
}

/** What a model needs: arithmetic in multiply-adds, and memory in bytes. */
export interface ModelNeeds {
  /** Batch size. */
  readonly batch: number;
  /** Solver steps per block. */
  readonly steps: number;
  /** Passes through the network that each block takes with the model's own guidance: two per guided step, one per other. */
  readonly passes: readonly number[];
  /** Multiply-adds of one sample. */
  readonly macs: {
    /** All tokens at once, in one pass. */
    readonly sequence: number;
    readonly firstBlockStep: Macs;
    readonly lastBlockStep: Macs;
    /** All steps of all blocks, with the cache; `own` with the model's own guidance. */
    readonly sample: Macs & { readonly own: number };
    /** One training step, forward and backward. */
    readonly training: number;
  };
  /** With the preset `fast`: passes that each block takes, and multiply-adds of one sample; undefined without a tuned solver. */
  readonly fast?: { readonly passes: readonly number[]; readonly macs: number };
  /** With precision int8: the share of a step's multiply-adds with weights that is done in 8 bits. */
  readonly int8Share: number;
  /** Estimated peaks in bytes for the whole batch. */
  readonly memory: {
    readonly sampling: SamplingMemory;
    /** The same with weights in 8 bits. */
    readonly int8: SamplingMemory;
    /** The same for videos that are longer than the model's own, over a sliding window; undefined if there are none. */
    readonly sliding?: SamplingMemory;
    /** With every layer's activations saved, or computed again. */
    readonly training: { readonly save: TrainingMemory; readonly recompute: TrainingMemory };
  };
}

/**
 * Estimates what a model needs.
 * @param steps solver steps per block.
 * @param tuned the solver that was fitted to the model.
 * @throws {ArgumentError} if there are more than the model has timesteps.
 */
export function modelNeeds(
  config: AcditConfig,
  batch: number,
  steps: number,
  tuned?: TunedSolver,
): ModelNeeds {
  const step = (block: number): Macs => {
    const plain = stepCost(config, block);
    return { plain, guided: 2 * plain };
  };
  const own = planSettings(config, config.blocks, { steps });
  const { passes } = own;
  const fast = tuned && planSettings(config, config.blocks, { preset: 'fast', tuned });
  const sampled = { guided: true, steps };
  return {
    batch,
    steps,
    passes,
    macs: {
      sequence: sequenceCost(config),
      firstBlockStep: step(0),
      lastBlockStep: step(config.blocks - 1),
      sample: {
        plain: sampleCost(config, steps),
        guided: sampleCost(config, 2 * steps, 2),
        own: sampleCost(config, passes, planBranches(own).length),
      },
      training: trainingCost(config),
    },
    ...(fast && {
      fast: { passes: fast.passes, macs: sampleCost(config, fast.passes, planBranches(fast).length) },
    }),
    int8Share: layerShare(config),
    memory: {
      sampling: samplingMemory(config, batch, sampled),
      int8: samplingMemory(config, batch, { ...sampled, precision: 'int8' }),
      ...(canExtend(config) && {
        sliding: samplingMemory(config, batch, { ...sampled, blocks: config.blocks + 1 }),
      }),
      training: {
        save: trainingMemory(config, batch, 'save'),
        recompute: trainingMemory(config, batch, 'recompute'),
      },
    },
  };
}
