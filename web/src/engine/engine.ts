/** @file What the page asks of whatever makes pictures: a worker in the browser, or a server. */

import type { AcditConfig } from '../../../src/models/acdit/config.ts';

/** A model that can be sampled from. */
export interface ModelCard {
  readonly id: string;
  readonly title: string;
  /** Where it comes from. */
  readonly source: 'bundled' | 'yours' | 'server';
  readonly config: AcditConfig;
  /** A strip of pictures, one a class. */
  readonly classPictures?: string;
}

/** One picture or clip to make. */
export interface Order {
  readonly model: string;
  /** A class; `classes` itself for none. */
  readonly label: number;
  readonly steps: number;
  readonly cfg: number;
  readonly seed: number;
  /** The autoregressive length to divide the picture by, where it is not the model's own. */
  readonly arLength?: number;
  /** Blocks to end with: clips may become longer than the model's own. */
  readonly blocks?: number;
  /** Finished blocks to go on from, one after the other. */
  readonly given?: Float32Array;
}

/** What happens meanwhile. Values are those of one block, (B, C). */
export type Progress =
  | { readonly kind: 'loading' }
  | { readonly kind: 'started'; readonly device: string }
  | {
      readonly kind: 'step';
      readonly block: number;
      /** Steps done in this block. */
      readonly step: number;
      /** The block as it is predicted to become. */
      readonly clean: Float32Array;
    }
  | { readonly kind: 'block'; readonly block: number; readonly given: boolean; readonly values: Float32Array }
  | { readonly kind: 'done'; readonly seconds: number };

export interface Engine {
  readonly kind: 'local' | 'remote';
  models(): Promise<readonly ModelCard[]>;
  /** @throws errors with a message to show; the signal's reason once it is aborted. */
  sample(order: Order, signal: AbortSignal): AsyncIterable<Progress>;
}
