/** @file What `acdit info` says a model needs: arithmetic for a step, a sample and training, and memory. */

import type { AcditConfig } from '../models/acdit/config.ts';
import { sampleCost, sequenceCost, stepCost, trainingCost } from '../models/acdit/cost.ts';
import { type SamplingMemory, samplingMemory } from '../sampling/memory.ts';
import { type TrainingMemory, trainingMemory } from '../training/memory.ts';

/** Multiply-adds in one guidance branch, and with guidance, which has two. FLOPs are twice as many. */
export interface Macs {
  readonly plain: number;
  readonly guided: number;
}

export interface ModelNeeds {
  /** Batch size. */
  readonly batch: number;
  /** Solver steps a block. */
  readonly steps: number;
  /** Multiply-adds of one sample. */
  readonly macs: {
    /** All tokens at once, in one pass. */
    readonly sequence: number;
    readonly firstBlockStep: Macs;
    readonly lastBlockStep: Macs;
    /** All steps of all blocks, behind the cache. */
    readonly sample: Macs;
    /** One training step, forward and backward. */
    readonly training: number;
  };
  /** Peaks in bytes, estimated, of the whole batch. */
  readonly memory: {
    readonly sampling: SamplingMemory;
    /** Of clips that go on over a sliding window, as long as they may be; only where a model's can. */
    readonly sliding?: SamplingMemory;
    /** With every layer's activations saved, or computed again. */
    readonly training: { readonly save: TrainingMemory; readonly recompute: TrainingMemory };
  };
}

export function modelNeeds(config: AcditConfig, batch: number, steps: number): ModelNeeds {
  const step = (block: number): Macs => {
    const plain = stepCost(config, block);
    return { plain, guided: 2 * plain };
  };
  const sampled = { guided: true, steps };
  const goesOn = config.frames > 1 && config.blocks > 1;
  return {
    batch,
    steps,
    macs: {
      sequence: sequenceCost(config),
      firstBlockStep: step(0),
      lastBlockStep: step(config.blocks - 1),
      sample: { plain: sampleCost(config, steps, false), guided: sampleCost(config, steps, true) },
      training: trainingCost(config),
    },
    memory: {
      sampling: samplingMemory(config, batch, sampled),
      ...(goesOn && { sliding: samplingMemory(config, batch, { ...sampled, blocks: config.blocks + 1 }) }),
      training: {
        save: trainingMemory(config, batch, 'save'),
        recompute: trainingMemory(config, batch, 'recompute'),
      },
    },
  };
}

/** The needs as lines. */
export function needsText({ batch, steps, macs, memory }: ModelNeeds): string {
  const rows: readonly (readonly [string, number, number?])[] = [
    ['all tokens in one pass', macs.sequence],
    ['step of the first block', macs.firstBlockStep.plain, macs.firstBlockStep.guided],
    ['step of the last block', macs.lastBlockStep.plain, macs.lastBlockStep.guided],
    [`sample of ${steps} steps a block`, macs.sample.plain, macs.sample.guided],
    ['training, of a sample', macs.training],
  ];
  const line = (name: string, values: readonly string[]): string =>
    `  ${name.padEnd(28)}${values.map((value) => value.padStart(13)).join('')}`;
  const counts = (macs: number): string[] => [large(macs), large(2 * macs)];
  const { sampling, sliding, training } = memory;
  return [
    line('arithmetic of one sample', ['MACs', 'FLOPs', 'guided: MACs', 'FLOPs']).slice(2),
    ...rows.map(([name, plain, guided]) =>
      line(name, [...counts(plain), ...(guided === undefined ? [] : counts(guided))]),
    ),
    `memory for ${batch} at a time, about`,
    memoryLine('to sample with guidance', sampling),
    ...(sliding ? [memoryLine('to go on over a window', sliding)] : []),
    memoryLine('to train', training.save),
    memoryLine('to train with "recompute"', training.recompute),
  ].join('\n');
}

function memoryLine(what: string, { total, ...parts }: SamplingMemory | TrainingMemory): string {
  const listed = Object.entries(parts).map(([part, bytes]) => `${part} ${gigabytes(bytes)}`);
  return `  ${what.padEnd(28)}${`${gigabytes(total)} GB`.padStart(13)}  (${listed.join(', ')})`;
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(bytes < 10e9 ? 2 : 1);
}

/** 524483296000 as 524.5 G. */
function large(count: number): string {
  const [size, unit] = count < 1e9 ? [1e6, 'M'] : count < 1e12 ? [1e9, 'G'] : [1e12, 'T'];
  return `${(count / size).toPrecision(4)} ${unit}`;
}
