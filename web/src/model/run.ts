/** @file The state of an image or a video that is being made, and how each event changes it. */

import { attentionOf } from '../../../src/models/acdit/attention.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Order, Progress } from '../engine/engine.ts';
import { blockLength } from './values.ts';

/** A block in progress. */
export interface LiveBlock {
  readonly block: number;
  readonly values: Float32Array;
  /** The other blocks that are made at the same time, by their numbers. */
  readonly others?: Readonly<Record<number, Float32Array>>;
}

export interface Run {
  readonly order: Order;
  /** The configuration of what is made, with as many blocks as it will have. */
  readonly config: AcditConfig;
  readonly status: 'waiting' | 'running' | 'done' | 'stopped' | 'failed';
  /** The values of finished blocks. */
  readonly blocks: readonly (Float32Array | undefined)[];
  /** The block in progress, as the model predicts its end. */
  readonly live?: LiveBlock;
  /** Steps done in it. */
  readonly step: number;
  /** Blocks that were given. */
  readonly given: number;
  readonly device?: string;
  readonly seconds?: number;
  readonly error?: string;
}

export function startRun(order: Order, config: AcditConfig): Run {
  const given = order.given ? order.given.length / blockLength(config) : 0;
  return {
    order,
    config,
    status: 'waiting',
    blocks: Array.from({ length: config.blocks }, () => undefined),
    step: 0,
    given,
  };
}

export function advance(run: Run, event: Progress): Run {
  switch (event.kind) {
    case 'loading':
      return run;
    case 'started':
      return { ...run, status: 'running', device: event.device };
    case 'step':
      return { ...run, step: event.step, live: liveBlock(run, event) };
    case 'block': {
      const { live: _, ...rest } = run;
      return { ...rest, step: 0, blocks: run.blocks.with(event.block, event.values) };
    }
    case 'done':
      return { ...run, status: 'done', seconds: event.seconds };
  }
}

function liveBlock(
  { live }: Run,
  { block, clean: values, together }: Progress & { readonly kind: 'step' },
): LiveBlock {
  const made = live && { ...live.others, [live.block]: live.values };
  return { block, values, ...(together && made && { others: made }) };
}

/** Ends a run that is not done. */
export function endRun(run: Run, status: 'stopped' | 'failed', error?: string): Run {
  const { live: _, ...rest } = run;
  return { ...rest, status, ...(error !== undefined && { error }) };
}

/** Returns the index of the block in progress, or the number of blocks when all are finished. */
export function currentBlock({ blocks }: Run): number {
  const next = blocks.indexOf(undefined);
  return next < 0 ? blocks.length : next;
}

/** Joins the values of the first `count` blocks. */
export function firstBlocks(run: Pick<Run, 'blocks'>, count: number): Float32Array {
  const parts = run.blocks.slice(0, count).flatMap((part) => (part ? [part] : []));
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Cuts the values of all blocks into blocks. */
export function cutBlocks(config: AcditConfig, values: Float32Array): Float32Array[] {
  const length = blockLength(config);
  return Array.from({ length: Math.round(values.length / length) }, (_, i) =>
    values.slice(i * length, (i + 1) * length),
  );
}

/** Returns the share of all steps that are done, 0 to 1. */
export function shareDone(run: Run): number {
  const { order, blocks, given, step } = run;
  if (run.status === 'done') return 1;
  const finished = currentBlock(run) - given;
  if (attentionOf(run.config).together) return finished > 0 ? 1 : step / order.steps;
  return (finished + step / order.steps) / Math.max(1, blocks.length - given);
}
