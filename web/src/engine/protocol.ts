/** @file Calls from the page to the worker: each is answered by any number of events, then by its end or an error. */

import type { NamedBlob } from '../../../src/browser/open.ts';
import type { Image } from '../../../src/media/pixels.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { AutoencoderConfig } from '../../../src/models/autoencoder/config.ts';
import type { Order, Progress } from './engine.ts';

export type DeviceChoice = 'auto' | 'webgpu' | 'wasm';

/** Where a model is. */
export type ModelPlace =
  | { readonly kind: 'files'; readonly files: readonly NamedBlob[] }
  | { readonly kind: 'urls'; readonly weights: string; readonly configText: string };

export interface OpenCall {
  readonly id: string;
  readonly place: ModelPlace;
}

export interface OpenedModel {
  readonly kind: 'model';
  readonly config: AcditConfig;
  readonly bytes: number;
}

export interface OpenedAutoencoder {
  readonly kind: 'autoencoder';
  readonly config: AutoencoderConfig;
  readonly fingerprint: string;
}

/** Latents to decode, by an autoencoder that was opened. */
export interface DecodeCall {
  readonly id: string;
  readonly config: AcditConfig;
  /** The values of all blocks of `config`, one after the other. */
  readonly values: Float32Array;
  readonly device: DeviceChoice;
}

/** An image per frame. */
export interface DecodeProgress {
  readonly images: readonly Image[];
}

export interface SampleCall {
  readonly order: Order;
  readonly device: DeviceChoice;
}

/** A small model, and the images that it learns. */
export interface TrainCall {
  readonly device: DeviceChoice;
  readonly images: number;
  readonly steps: number;
  readonly seed: number;
  /** Steps between samples. */
  readonly sampleEvery: number;
}

export interface VideoCall {
  /** The RGBA values of each frame. */
  readonly frames: readonly Uint8Array[];
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

export type TrainProgress =
  | {
      readonly kind: 'started';
      readonly device: string;
      readonly parameters: number;
      readonly config: AcditConfig;
    }
  | { readonly kind: 'step'; readonly step: number; readonly loss: number; readonly samplesPerSecond: number }
  | {
      readonly kind: 'samples';
      readonly step: number;
      readonly values: Float32Array;
      readonly count: number;
    };

/** What each call is given and what it answers with. */
export interface Calls {
  open: {
    readonly given: OpenCall;
    readonly event: OpenedModel | OpenedAutoencoder;
  };
  sample: { readonly given: SampleCall; readonly event: Progress };
  decode: { readonly given: DecodeCall; readonly event: DecodeProgress };
  train: { readonly given: TrainCall; readonly event: TrainProgress };
  video: { readonly given: VideoCall; readonly event: { readonly file: Blob } };
}

export type Call = {
  [K in keyof Calls]: { readonly id: number; readonly kind: K; readonly given: Calls[K]['given'] };
}[keyof Calls];

export type ToWorker = Call | { readonly id: number; readonly kind: 'stop' };

export type FromWorker =
  | { readonly id: number; readonly kind: 'event'; readonly event: unknown }
  | { readonly id: number; readonly kind: 'end' }
  | { readonly id: number; readonly kind: 'error'; readonly name: string; readonly message: string };
