/** @file What a server and a sampling process say to each other. */

import type { OpenOptions } from '../checkpoints/load.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { ACCELERATORS } from '../runtime/node.ts';
import type { PassInfo } from '../sampling/batching.ts';
import type { SampleEvent, SampleRequest } from '../sampling/sampler.ts';

/** What a model is sampled on. */
export type ServedDevice = 'cpu' | (typeof ACCELERATORS)[number];

/** What a sampling process is made from. */
export interface SamplingSettings {
  /** A model folder or file. */
  readonly model: string;
  /** Which weights to use, and the layout if the model does not state it. */
  readonly open?: OpenOptions;
  /** What to compute on; the CPU by default. */
  readonly device?: ServedDevice | undefined;
  /** CPU threads; all cores by default. */
  readonly threads?: number;
  /**
   * Max groups per pass. A group is one block of one sample in one guidance branch. Default: as many as add little
   * memory.
   */
  readonly groups?: number;
}

export type ToSampling =
  | { readonly kind: 'open'; readonly settings: SamplingSettings }
  | { readonly kind: 'sample'; readonly id: number; readonly request: SampleRequest }
  /** So many more of a request's events were read. */
  | { readonly kind: 'read'; readonly id: number; readonly count: number }
  | { readonly kind: 'stop'; readonly id: number };

/** Events of a request that may be on their way or unread: each holds latents. Then its sampling waits. */
export const MOST_UNREAD = 64;
/** After how many events the reader tells. */
export const READ_AT_ONCE = 16;

export type FromSampling =
  | { readonly kind: 'ready'; readonly config: AcditConfig }
  | { readonly kind: 'event'; readonly id: number; readonly event: SampleEvent }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'pass'; readonly pass: PassInfo }
  /** Of a request, or without `id` of everything. */
  | {
      readonly kind: 'failure';
      readonly id?: number;
      readonly message: string;
      /** One of the package's own errors, which is meant to be read. */
      readonly expected: boolean;
      /** It is the request's fault. */
      readonly invalid: boolean;
    };
