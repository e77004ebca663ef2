/**
 * @file Turning latents into pictures, here or in a process beside this one. ONNX Runtime's `run` blocks its thread, so
 * only another one can decode a batch while the next is sampled. It is a process rather than a worker thread, because
 * a thread that ends after it used ONNX Runtime can take the whole process with it.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { autoencoderFingerprint } from '../checkpoints/autoencoder-fingerprint.ts';
import { AcditError, DeviceError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { unpatchify } from '../models/acdit/layout.ts';
import { type Autoencoder, createAutoencoder } from '../models/autoencoder/autoencoder.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { checkAutoencoder, checkLatentOrigin, latentsToImages } from '../sampling/latents-to-images.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { createTurns } from '../turns.ts';

/** Gets the share done, 0 to 1. */
export type OnProgress = (share: number) => void;

/** From latents or pixels of blocks to pictures. */
export interface Decoder {
  /** Decodes latents (N, T, B, C) to images (N, frames, channels, H, W) in [-1, 1]. Calls take turns. */
  decode(latents: Tensor<'float32'>, onProgress?: OnProgress): Promise<Tensor<'float32'>>;
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

/** For models of pixels. */
export function pixelDecoder(config: AcditConfig): Decoder {
  return { decode: async (latents) => unpatchify(config, latents), close: async () => {} };
}

/**
 * Check that an autoencoder is there, whole, and the model's. Its weights are read only if the model knows which it is.
 * @throws {AcditError} if it is not.
 */
export async function requireAutoencoder(config: AcditConfig, vae: string): Promise<void> {
  const stored = await openAutoencoder(vae);
  try {
    checkAutoencoder(config, stored.config);
    if (config.autoencoder) {
      const { scalingFactor } = stored.config;
      checkLatentOrigin(config, { fingerprint: await autoencoderFingerprint(stored), scalingFactor }, vae);
    }
  } finally {
    await stored.close();
  }
}

/** A decoder in this process. It reads the autoencoder when it is first needed. */
export function localDecoder({ config, vae, threads }: DecoderSettings, signal?: AbortSignal): Decoder {
  let device: Device | undefined;
  let autoencoder: Promise<Autoencoder> | undefined;
  async function open(): Promise<Autoencoder> {
    device = openCpu({ threads });
    const stored = await openAutoencoder(vae);
    try {
      return await createAutoencoder({ ...stored, device, parts: ['decoder'], signal });
    } finally {
      await stored.close();
    }
  }
  return {
    async decode(latents, onProgress) {
      autoencoder ??= open();
      return latentsToImages(await autoencoder, config, latents, { signal, onProgress });
    },
    close: async () => device?.dispose(),
  };
}

/** What the decoding process is sent: first its settings, then latents. */
export type Request =
  | { readonly kind: 'open'; readonly settings: DecoderSettings }
  | { readonly kind: 'decode'; readonly latents: Tensor<'float32'> };

/** What it answers. */
export type Reply =
  | { readonly kind: 'progress'; readonly share: number }
  | { readonly kind: 'pictures'; readonly pictures: Tensor<'float32'> }
  | { readonly kind: 'failure'; readonly message: string; readonly expected: boolean };

/** The program of the decoding process, as source or compiled like this file. */
const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './decode-process.ts' : './decode-process.js', import.meta.url),
);

/** A decoder in a process of its own, which ends with this one. */
export function processDecoder(settings: DecoderSettings, signal: AbortSignal): Decoder {
  // Its standard output is ours only where it would print results, which it does not.
  const child = fork(PROGRAM, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', (cause) =>
      reject(new DeviceError(`the decoder cannot be started: ${cause.message}`)),
    );
    child.once('exit', (code, killer) =>
      reject(
        new DeviceError(`the decoder ended before its work was done (${killer ?? `exit code ${code}`})`),
      ),
    );
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  ended.catch(() => {}); // who decodes hears of it
  const send = (request: Request): void => void child.send(request, () => {}); // `ended` tells of failures
  send({ kind: 'open', settings });

  function answer(onProgress?: OnProgress): Promise<Tensor<'float32'>> {
    return new Promise((resolve, reject) => {
      const listen = (reply: Reply): void => {
        if (reply.kind === 'progress') {
          onProgress?.(reply.share);
          return;
        }
        child.off('message', listen);
        if (reply.kind === 'pictures') resolve(reply.pictures);
        else reject(reply.expected ? new AcditError(reply.message) : new Error(reply.message));
      };
      child.on('message', listen);
    });
  }

  const turn = createTurns(); // answers name no request
  return {
    decode: (latents, onProgress) =>
      turn(() => {
        const pictures = answer(onProgress);
        send({ kind: 'decode', latents });
        return Promise.race([pictures, ended]);
      }),
    async close() {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      if (signal.aborted) child.kill('SIGKILL');
      else if (child.connected) child.disconnect();
      await exit;
    },
  };
}
