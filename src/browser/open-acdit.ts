/** @file `open` in a page or a worker: a model by its address or from files, ready to make samples. */

import type { StoredAutoencoder } from '../checkpoints/stored-autoencoder.ts';
import { type StoredModel, weightSource } from '../checkpoints/stored-model.ts';
import { ArgumentError } from '../errors.ts';
import { Acdit, type ContinueSource } from '../generate/generate.ts';
import type { GeneratedSample } from '../generate/sample.ts';
import { type OptionNames, requireKnownOptions } from '../invalid-option.ts';
import { closingOnError } from '../io/byte-source.ts';
import type { HttpOptions } from '../io/http-source.ts';
import type { Image } from '../media/pixels.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { unpatchify } from '../models/acdit/layout.ts';
import { createAutoencoder } from '../models/autoencoder/autoencoder.ts';
import { defaultBatch } from '../runs/batches.ts';
import { type BrowserDeviceOptions, openBrowserDevice } from '../runtime/browser.ts';
import type { Device } from '../runtime/device.ts';
import { givenFromFrames } from '../sampling/given.ts';
import { checkAutoencoder, imagesToLatents, latentsToImages } from '../sampling/latents-to-images.ts';
import { createSampler } from '../sampling/sampler.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { requireDecodingMemory, requireMemory } from './memory.ts';
import {
  type NamedBlob,
  openAddress,
  openAutoencoderAddress,
  openAutoencoderFiles,
  openFiles,
} from './open.ts';
import { readPixels } from './pixels.ts';
import { browserFiles } from './sample-files.ts';

/** A model or an autoencoder: the address of its folder, or its files. A model may also be one official `.pt`. */
export type BrowserSource = string | readonly NamedBlob[];

/** How a model is opened in a browser. */
export interface OpenAcditOptions extends BrowserDeviceOptions, HttpOptions {
  /** The autoencoder of a model of latents. */
  readonly vae?: BrowserSource | undefined;
  /** URL of `h264-mp4-encoder/embuild/dist/h264-mp4-encoder.web.js`, to write videos with. */
  readonly videoEncoder?: string | undefined;
  /** Gets what is being done, `load`, and the share of it, 0 to 1. */
  readonly onProgress?: ((task: string, share: number) => void) | undefined;
}

const OPEN_OPTIONS: OptionNames<OpenAcditOptions> = {
  ...{ device: true, threads: true, files: true, vae: true, videoEncoder: true },
  ...{ fetch: true, signal: true, onProgress: true },
};

/**
 * Opens a model in a page, or better in a worker: a step blocks its thread.
 * @throws {CheckpointError} if it is not a model; {FormatError} if it is unavailable or damaged
 * @throws {ArgumentError} if it needs more memory than a page has, or an autoencoder that is not given
 *
 * @example
 * ```ts
 * const acdit = await open('models/fashion-mnist/');
 * const [image] = await acdit.generate('sneaker');
 * picture.src = URL.createObjectURL(await image.toBlob());
 * ```
 */
export async function open(model: BrowserSource, options: OpenAcditOptions = {}): Promise<Acdit> {
  requireKnownOptions(options, OPEN_OPTIONS);
  const { signal } = options;
  signal?.throwIfAborted();
  // The model's file is also read later, when the caller's signal no longer counts.
  const opening = new AbortController();
  const stop = (): void => opening.abort(signal?.reason);
  signal?.addEventListener('abort', stop);
  try {
    return await openParts(model, { ...options, signal: opening.signal });
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

async function openParts(model: BrowserSource, options: OpenAcditOptions): Promise<Acdit> {
  const { signal, onProgress = () => {}, videoEncoder } = options;
  onProgress('load', 0);
  const stored = await openModel(model, options);
  return closingOnError(stored.archive, async () => {
    const { config } = stored;
    // At an address there may be none, unless the model says so.
    const isWanted = typeof model !== 'string' || config.preset === 'fast';
    const vae = await openAutoencoder(config, options);
    if (vae) requireDecodingMemory(config, vae.config);
    else requireMemory(config);
    const device = await openBrowserDevice(options);
    return closingOnError(device, async () => {
      const sampler = await createSampler({
        config,
        tuned: isWanted ? await stored.tunedSolver?.(signal) : undefined,
        weights: weightSource(stored),
        device,
        batching: {},
        signal,
        onProgress: (share) => onProgress('load', share),
      });
      const coder = vae && createCoder(config, vae, device);
      return new Acdit({
        sampler,
        device: device.name,
        decode: coder?.decode ?? (async (latents) => unpatchify(config, latents)),
        files: browserFiles(videoEncoder),
        batch: defaultBatch(config),
        readGiven: async (source, given) =>
          givenFromFrames(config, [await readSource(source, options)], {
            ...given,
            name: 'the image',
            encode: (images) => coder!.encode(images, given.signal),
          }),
        async close() {
          await sampler.dispose();
          await device.dispose();
          await stored.archive.close();
        },
      });
    });
  });
}

function openModel(source: BrowserSource, options: HttpOptions): Promise<StoredModel> {
  if (typeof source !== 'string') return openFiles(source);
  return openAddress(/(\/|\.pt|\.pth|\.bin)$/i.test(source) ? source : `${source}/`, options);
}

async function openAutoencoder(
  config: AcditConfig,
  { vae, ...options }: OpenAcditOptions,
): Promise<StoredAutoencoder | undefined> {
  if (config.space === 'pixels') return undefined;
  if (vae === undefined) {
    throw new ArgumentError(
      'this model makes latents, and decoding them needs an autoencoder: give its address or files as the option vae',
    );
  }
  const stored =
    typeof vae === 'string'
      ? await openAutoencoderAddress(vae.replace(/\/?$/, '/'), options)
      : await openAutoencoderFiles(vae);
  checkAutoencoder(config, stored.config);
  return stored;
}

/** Encodes and decodes with an autoencoder, each part of which is compiled when it is first needed. */
function createCoder(config: AcditConfig, stored: StoredAutoencoder, device: Device) {
  const parts = new Map<string, ReturnType<typeof createAutoencoder>>();
  const partFor = (part: 'encoder' | 'decoder') => {
    const opened = parts.get(part) ?? createAutoencoder({ ...stored, device, parts: [part] });
    parts.set(part, opened);
    return opened;
  };
  return {
    decode: async (latents: Tensor<'float32'>, options: { signal?: AbortSignal | undefined } = {}) =>
      latentsToImages(await partFor('decoder'), config, latents, options),
    encode: async (images: Tensor<'float32'>, signal: AbortSignal) =>
      imagesToLatents(await partFor('encoder'), images, { signal }),
  };
}

async function readSource(
  source: Exclude<ContinueSource, GeneratedSample>,
  { fetch: load = fetch, signal }: HttpOptions,
): Promise<Image> {
  if (source instanceof Uint8Array) return readPixels(new Blob([source as Uint8Array<ArrayBuffer>]));
  if (source instanceof Blob) return readPixels(source);
  if (typeof source !== 'string') return source;
  const answer = await load(source, signal ? { signal } : {});
  if (!answer.ok)
    throw new ArgumentError(`continue: ${source} could not be fetched: status ${answer.status}`);
  return readPixels(await answer.blob());
}
