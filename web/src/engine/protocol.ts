/** @file Calls from the page to the worker. */

import type { NamedBlob } from '../../../src/browser/open.ts';
import type { Image } from '../../../src/media/pixels.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { AutoencoderConfig } from '../../../src/models/autoencoder/config.ts';
import type { Call } from '../../../src/remote/index.ts';
import type { Order, Progress } from './engine.ts';

export type DeviceChoice = 'auto' | 'webgpu' | 'wasm';

/** Where a model is. */
export type ModelPlace =
  | { readonly kind: 'files'; readonly files: readonly NamedBlob[] }
  | {
      readonly kind: 'urls';
      readonly weights: string;
      readonly configText: string;
      /** The address of its tuned solver, if there is one. */
      readonly solver: string | undefined;
    };

export interface OpenCall {
  readonly id: string;
  readonly place: ModelPlace;
}

export interface OpenedModel {
  readonly kind: 'model';
  readonly config: AcditConfig;
  /** Steps per block of the preset fast, if a tuned solver was among the files. */
  readonly fastSteps: number | undefined;
  readonly bytes: number;
}

export interface OpenedAutoencoder {
  readonly kind: 'autoencoder';
  readonly config: AutoencoderConfig;
  readonly fingerprint: string;
}

export type Opened = OpenedModel | OpenedAutoencoder;

/** Latents to decode, by an autoencoder that was opened. */
export interface DecodeCall {
  readonly id: string;
  readonly config: AcditConfig;
  /** The values of all blocks of `config`, one after the other. */
  readonly values: Float32Array;
  readonly device: DeviceChoice;
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

/** The calls that the worker answers. */
export interface WorkerCalls {
  open: Call<OpenCall, readonly Opened[]>;
  sample: Call<SampleCall, void, Progress>;
  /** An image per frame. */
  decode: Call<DecodeCall, readonly Image[]>;
  train: Call<TrainCall, void, TrainProgress>;
  /** An MP4 file. */
  video: Call<VideoCall, Blob>;
}
