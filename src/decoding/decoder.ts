/**
 * @file Turning latents into images, here or in a process next to this one. ONNX Runtime's `run` blocks its thread, so
 * only another one can decode a batch while the next is sampled. It is a process rather than a worker thread, because
 * a thread that ends after it used ONNX Runtime can take the whole process with it.
 */

import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { latentOrigin } from '../checkpoints/autoencoder-fingerprint.ts';
import type { StoredAutoencoder } from '../checkpoints/stored-autoencoder.ts';
import { closingAfter } from '../io/byte-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { unpatchify } from '../models/acdit/layout.ts';
import {
  type Autoencoder,
  type CodingOptions,
  createAutoencoder,
} from '../models/autoencoder/autoencoder.ts';
import { programBeside, startChild } from '../remote/node.ts';
import { onDemand } from '../remote/on-demand.ts';
import type { Call } from '../remote/protocol.ts';
import { connect } from '../remote/remote.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { checkAutoencoder, checkLatentOrigin, latentsToImages } from '../sampling/latents-to-images.ts';
import { createSemaphore } from '../semaphore.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Turns latents or pixels of blocks into images. */
export interface Decoder {
  /** Decodes latents (N, T, B, C) to images (N, frames, channels, H, W) in [-1, 1]. Calls take turns. */
  decode(latents: Tensor<'float32'>, options?: CodingOptions): Promise<Tensor<'float32'>>;
  /** End what it decodes with. */
  close(): Promise<void>;
}

/** What a decoder is made from, in this process or another. */
export interface DecoderSettings {
  readonly config: AcditConfig;
  /** The autoencoder's folder. */
  readonly vae: string;
  readonly threads: number;
}

/** Makes a decoder for models of pixels. */
export function pixelDecoder(config: AcditConfig): Decoder {
  return { decode: async (latents) => unpatchify(config, latents), close: async () => {} };
}

/**
 * Checks that an autoencoder exists, is whole, and is the model's.
 * @throws {AcditError} if it is not.
 */
export async function requireAutoencoder(config: AcditConfig, vae: string): Promise<void> {
  await closingAfter(await openAutoencoder(vae), (stored) => requireFitting(config, stored, vae));
}

/**
 * Checks that an autoencoder is the model's. Its weights are read only if the model records which it is.
 * @param name what to call it in the message.
 * @throws {ConfigError} if it is not.
 */
export async function requireFitting(
  config: AcditConfig,
  stored: StoredAutoencoder,
  name: string,
): Promise<void> {
  checkAutoencoder(config, stored.config);
  if (config.autoencoder) checkLatentOrigin(config, await latentOrigin(stored), name);
}

/**
 * A decoder in this process. It reads the autoencoder when it is first needed.
 * @param always stops calls that have no signal of their own
 */
export function localDecoder({ config, vae, threads }: DecoderSettings, always?: AbortSignal): Decoder {
  const exclusively = createSemaphore(1);
  let device: Device | undefined;
  let autoencoder: Autoencoder | undefined;
  async function open(signal: AbortSignal | undefined): Promise<Autoencoder> {
    const cpu = device ?? openCpu({ threads });
    device = cpu;
    return closingAfter(await openAutoencoder(vae), (stored) =>
      createAutoencoder({ ...stored, device: cpu, parts: ['decoder'], signal }),
    );
  }
  return {
    decode: (latents, { signal = always, onProgress } = {}) =>
      exclusively(async () => {
        signal?.throwIfAborted();
        autoencoder ??= await open(signal);
        return latentsToImages(autoencoder, config, latents, { signal, onProgress });
      }),
    close: async () => device?.dispose(),
  };
}

/** The calls that a decoding process answers. */
export interface DecodingCalls {
  /** Comes before all others. */
  open: Call<DecoderSettings>;
  /** Its events are the share done, 0 to 1. */
  decode: Call<Tensor<'float32'>, Tensor<'float32'>, number>;
}

/**
 * A decoder in a process of its own, which is started when it is needed, and again if it has ended.
 * @param always stops calls that have no signal of their own
 */
export function processDecoder(settings: DecoderSettings, always?: AbortSignal): Decoder {
  const process = onDemand(() => {
    const child = startChild(programBeside(import.meta.url, 'decode-process'), 'the decoder');
    const remote = connect<DecodingCalls>(child);
    remote.call('open', settings).catch(() => {}); // decoding fails too
    return remote;
  });
  return {
    async decode(latents, { signal = always, onProgress } = {}) {
      const remote = await process.get();
      return remote.call('decode', latents, { signal, onEvent: onProgress });
    },
    close: () => process.dispose(),
  };
}
