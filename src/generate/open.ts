/** @file `open` on Node: a model by its name or path, ready to make samples. */

import { runAutoencoder, weightSource } from '../checkpoints/load.ts';
import type { OpenOptions } from '../checkpoints/official.ts';
import { findTunedSolver } from '../checkpoints/tuned-solver.ts';
import { pixelDecoder, processDecoder, requireAutoencoder } from '../decoding/decoder.ts';
import { type OptionNames, requireKnownOptions } from '../invalid-option.ts';
import { closingOnError } from '../io/byte-source.ts';
import { type Image, readImage } from '../media/image.ts';
import { defaultBatch } from '../runs/batches.ts';
import { readGiven } from '../runs/continuation.ts';
import { bundledModel, decoderPath, modelPath, openNamedModel } from '../runs/model-path.ts';
import { type Reporter, silentReporter } from '../runs/reporter.ts';
import { machine } from '../runtime/machine.ts';
import { type ACCELERATORS, openAccelerator, openCpu } from '../runtime/node.ts';
import type { Precision } from '../sampling/precision.ts';
import { openRestartingSampler } from '../sampling/process-sampler.ts';
import { createSampler, type Sampler } from '../sampling/sampler.ts';
import { Acdit, type AcditParts, type ContinueSource } from './generate.ts';
import { nodeFiles } from './node-files.ts';
import type { GeneratedSample } from './sample.ts';

/** How a model is opened. */
export interface OpenAcditOptions extends OpenOptions {
  /** What to compute on (default: cpu). */
  readonly device?: 'cpu' | (typeof ACCELERATORS)[number] | undefined;
  /** CPU threads (default: one per core). */
  readonly threads?: number | undefined;
  /** `int8` is faster on most CPUs, and changes samples a little (default: fp32, unless the model is stored in int8). */
  readonly precision?: Precision | undefined;
  /**
   * Sample in a separate process, so that this one stays responsive: a step blocks its thread (default: false).
   */
  readonly process?: boolean | undefined;
  /** Autoencoder of a model of latents: a folder, or a name on the hub (default: that of the released models). */
  readonly vae?: string | undefined;
  /** Stops the opening, such as a download, which resumes the next time. */
  readonly signal?: AbortSignal | undefined;
  /** Gets what is being done, such as `download model.safetensors` or `load`, and the share of it, 0 to 1. */
  readonly onProgress?: ((task: string, share: number) => void) | undefined;
}

const OPEN_OPTIONS: OptionNames<OpenAcditOptions> = {
  ...{ device: true, threads: true, precision: true, process: true, vae: true, weights: true, layout: true },
  ...{ signal: true, onProgress: true },
};

/**
 * Opens a model: `fashion-mnist` or `moving-fashion-mnist`, which come with the package; a model folder; an official
 * `.pt`; or a name on the Hugging Face Hub such as `ACDiT-XL-img`, which is downloaded once.
 * @throws {CheckpointError} if it is not a model; {HubError} if it can be neither found nor fetched
 * @throws {DeviceError} if the device is not available here
 *
 * @example
 * ```ts
 * const acdit = await open('fashion-mnist');
 * const [image] = await acdit.generate('sneaker');
 * await image.save('sneaker.png');
 * ```
 */
export async function open(
  model: string = bundledModel('image'),
  options: OpenAcditOptions = {},
): Promise<Acdit> {
  requireKnownOptions(options, OPEN_OPTIONS);
  const { device = 'cpu', signal, onProgress = () => {} } = options;
  const report = progressReporter(onProgress);
  const path = await modelPath(model, { report, signal });
  onProgress('load', 0);
  const { sampler, close } = await (options.process ? openInProcess : openHere)(path, options);
  return closingOnError({ close }, async () => {
    const { config } = sampler;
    const { threads = machine().cores } = options;
    const stored = { config, runAutoencoder: () => runAutoencoder(path) };
    const vae =
      config.space === 'pixels' ? undefined : await decoderPath(stored, options.vae, { report, signal });
    if (vae !== undefined) await requireAutoencoder(config, vae);
    const decoder = vae === undefined ? pixelDecoder(config) : processDecoder({ config, vae, threads });
    onProgress('load', 1);
    const parts: AcditParts = {
      sampler,
      device,
      decode: decoder.decode,
      files: nodeFiles,
      batch: defaultBatch(config),
      readGiven: async (source, given) =>
        readGiven(config, { ...given, source: await readableSource(source), vae, threads }),
      async close() {
        await close();
        await decoder.close();
      },
    };
    return new Acdit(parts);
  });
}

interface OpenSampler {
  readonly sampler: Pick<Sampler, 'config' | 'tuned' | 'sample'>;
  close(): Promise<void>;
}

async function openInProcess(
  model: string,
  { device, threads, precision, weights, layout }: OpenAcditOptions,
): Promise<OpenSampler> {
  const settings = { model, open: { weights, layout }, device, precision };
  const sampler = await openRestartingSampler({ ...settings, ...(threads !== undefined && { threads }) });
  return { sampler, close: () => sampler.dispose() };
}

async function openHere(path: string, options: OpenAcditOptions): Promise<OpenSampler> {
  const { device: name = 'cpu', threads, precision, signal, onProgress, weights, layout } = options;
  const device = name === 'cpu' ? openCpu({ threads }) : await openAccelerator(name, { threads });
  const model = await closingOnError(device, () => openNamedModel(path, { weights, layout }));
  const close = async (): Promise<void> => {
    await device.dispose();
    await model.archive.close();
  };
  return closingOnError({ close }, async () => {
    const sampler = await createSampler({
      config: model.config,
      tuned: await findTunedSolver(model, signal),
      weights: weightSource(model),
      device,
      precision: precision ?? (name === 'cpu' ? model.precision : undefined),
      batching: {},
      signal,
      onProgress: (share) => onProgress?.('load', share),
    });
    return {
      sampler,
      async close() {
        await sampler.dispose();
        await close();
      },
    };
  });
}

/** Returns a path, or images. */
async function readableSource(
  source: Exclude<ContinueSource, GeneratedSample>,
): Promise<string | readonly Image[]> {
  if (typeof source === 'string') return source;
  if (source instanceof Uint8Array) return [await readImage(source)];
  if (source instanceof Blob) return [await readImage(new Uint8Array(await source.arrayBuffer()))];
  return [source];
}

/** Passes on the progress of downloads. */
function progressReporter(onProgress: NonNullable<OpenAcditOptions['onProgress']>): Reporter {
  return {
    ...silentReporter,
    progress: ({ label, total, start = 0 }) => {
      const update = (done: number): void => onProgress(label, total === 0 ? 1 : done / total);
      update(start);
      return { update, finish: () => {} };
    },
  };
}
