/** @file What the page needs from a sampler: a worker in the browser, or a server. */

import type { TimestepSpacing } from '../../../src/diffusion/timesteps.ts';
import type { AcditConfig, Preset } from '../../../src/models/acdit/config.ts';

/** A model that can be sampled from. */
export interface ModelCard {
  readonly id: string;
  readonly title: string;
  /** Where it comes from. */
  readonly source: 'bundled' | 'yours' | 'server';
  readonly config: AcditConfig;
  /** Steps per block of the preset fast, if a solver was fitted to the model. */
  readonly fastSteps?: number;
  /** The address of a strip of images, one per class. */
  readonly classImages?: string;
}

/** An image or a video to make. */
export interface Order {
  readonly model: string;
  /** A class; `classes` itself means no class. */
  readonly label: number;
  /** What makes up the rest: the model's tuned solver, or the steps and guidance of this order (default: exact). */
  readonly preset?: Preset;
  readonly steps: number;
  /** How the steps are spaced (default: uniform). */
  readonly timesteps?: TimestepSpacing;
  /** Guidance scale at all noise levels (default: the model's own guidance). */
  readonly cfg?: number;
  readonly seed: number;
  /** The autoregressive length to divide the image by, if it is not the model's own. */
  readonly arLength?: number;
  /** Blocks in all: videos may be longer than the model's own. */
  readonly blocks?: number;
  /** Finished blocks to continue from, one after the other. */
  readonly given?: Float32Array;
}

/** An event of sampling. Values are those of one block, (B, C). */
export type Progress =
  | { readonly kind: 'loading' }
  | { readonly kind: 'started'; readonly device: string }
  | {
      readonly kind: 'step';
      readonly block: number;
      /** Steps done in this block. */
      readonly step: number;
      /** The block as the model predicts its end. */
      readonly clean: Float32Array;
      /** All blocks are made at once: a step has an event for each. */
      readonly together?: boolean;
    }
  | { readonly kind: 'block'; readonly block: number; readonly given: boolean; readonly values: Float32Array }
  | { readonly kind: 'done'; readonly seconds: number };

export interface Engine {
  readonly kind: 'local' | 'remote';
  models(): Promise<readonly ModelCard[]>;
  /** @throws errors with a message to show; the signal's reason once it is aborted. */
  sample(order: Order, signal: AbortSignal): AsyncIterable<Progress>;
}
