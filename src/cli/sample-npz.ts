/**
 * @file `acdit sample --npz`: as many samples as papers evaluate, in one file as they exchange them. Each image depends
 * on the seed and its number alone, so whatever ended a run, the next one goes on as if nothing had been.
 */

import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { autoencoderFingerprint } from '../checkpoints/autoencoder-fingerprint.ts';
import { weightSource } from '../checkpoints/load.ts';
import { modelFingerprint } from '../checkpoints/model-fingerprint.ts';
import type { StoredModel } from '../checkpoints/stored-model.ts';
import { ArgumentError } from '../errors.ts';
import {
  type GrowingArray,
  type GrowingNpz,
  isFinishedNpz,
  openGrowingNpz,
  partialFile,
} from '../formats/resumable-npz.ts';
import type { Origin } from '../formats/resumable-npz-journal.ts';
import { companionFile, makeFolders } from '../io/atomic-write.ts';
import { type Lock, takeLock } from '../io/lock.ts';
import { rgbBytes } from '../media/frames.ts';
import { type AcditConfig, frameCount, PAPER_DOWNSAMPLING } from '../models/acdit/config.ts';
import { type BatchedRequest, batchRequests, stepsOfSample } from '../runs/batches.ts';
import type { Reporter } from '../runs/reporter.ts';
import type { Device } from '../runtime/device.ts';
import { createSampler } from '../sampling/sampler.ts';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.ts';
import type { CommandContext } from './command.ts';
import { formatDuration } from './progress.ts';
import type { TerminalReporter } from './reporter.ts';
import { openDecoder } from './sample-decoder.ts';
import type { NpzSettings, SampleSettings } from './sample-settings.ts';

/** What is written, and how. */
export interface NpzRun {
  /** What the model is called. */
  readonly name: string;
  readonly model: StoredModel;
  readonly settings: SampleSettings;
  readonly npz: NpzSettings;
  readonly device: Device;
  /** Replace a file that was made with other settings. */
  readonly overwrite: boolean;
}

/** Sample until the file is whole, or the run is interrupted. @throws {AcditError} if it cannot be written */
export async function sampleToNpz(run: NpzRun, context: CommandContext): Promise<undefined> {
  const { model, settings, npz, device, overwrite } = run;
  const { path } = npz;
  const { report, signal } = context;
  const started = performance.now();
  const array = pictureArray(model.config, settings.request);
  await makeFolders(dirname(path));
  try {
    const origin = await originOf(run, signal);
    const lock = await takeLock(companionFile(partialFile(path), '.lock'), {
      signal,
      refusal: (owner) =>
        new ArgumentError(
          `cannot write ${path}: ${owner} is writing it; wait until it has finished, or give another name`,
        ),
      onWait: (owner) => report.say(`checking whether ${owner} still writes ${path}`),
    });
    try {
      if (await isFinishedNpz(path, array, origin, { overwrite }))
        return reportEnd(run, array, { made: 0, done: true }, started, report);
      const file = await openGrowingNpz(path, array, origin, report.warn, { overwrite });
      const before = file.rows;
      await warnOfSpace(path, array, before, report);
      const done = await grow(run, { file, lock }, context);
      reportEnd(run, array, { made: file.rows - before, done }, started, report);
    } finally {
      await lock.release();
    }
  } finally {
    await device.dispose();
  }
  signal.throwIfAborted();
}

/** Sample what is missing. @returns whether the file is finished; not, if interrupted */
async function grow(
  { model, settings, device }: NpzRun,
  { file, lock }: { readonly file: GrowingNpz; readonly lock: Lock },
  { report, signal }: CommandContext,
): Promise<boolean> {
  const { config } = model;
  const { request } = settings;
  const labels = request.labels as readonly number[];
  const decoder = openDecoder(config, settings, device, signal);
  const progress = report.progress({
    total: labels.length,
    start: file.rows,
    label: 'sample',
    unit: 'image',
  });
  const steps = stepsOfSample(config, request);
  /** A batch is decoded and written while the next is sampled. */
  let writing = Promise.resolve();
  const write = async (latents: Tensor<'float32'>): Promise<void> => {
    const images = rgbBytes(await decoder!.decode(latents));
    await lock.requireHeld();
    await file.append(images);
  };
  try {
    if (file.rows < labels.length) {
      const sampler = await createSampler({ config, weights: weightSource(model), device, signal });
      for (const batch of batchRequests(request, signal, file.rows)) {
        const { first = 0 } = batch;
        let step = 0;
        for await (const event of sampler.sample(batch)) {
          if (event.kind === 'step') {
            progress.update(first + Math.floor((batch.labels.length * ++step) / steps), {});
          } else if (event.kind === 'done') {
            await writing;
            writing = write(event.latents);
            writing.catch(() => {}); // it is waited for
          }
        }
      }
    }
    await writing;
    progress.update(labels.length);
    await lock.requireHeld();
    await file.finish({ arr_1: tensor('int64', [labels.length], BigInt64Array.from(labels, BigInt)) });
    return true;
  } catch (error) {
    await writing.catch(() => {});
    if (!signal.aborted || error !== signal.reason) throw error;
    return false;
  } finally {
    progress.finish();
    await file.close();
    await decoder?.close();
  }
}

/** (N, H, W, 3), of clips (N, frames, H, W, 3). */
function pictureArray(config: AcditConfig, { labels, blocks = config.blocks }: BatchedRequest): GrowingArray {
  const { space, downsampling = PAPER_DOWNSAMPLING } = config;
  const factor = space === 'latents' ? downsampling : 1;
  const frames = frameCount(config, blocks);
  if (!Number.isInteger(frames)) {
    throw new ArgumentError(`--blocks ${blocks} end within a frame; with --npz, give whole frames`);
  }
  const clip = config.frames > 1 ? [frames] : [];
  const shape = [labels.length, ...clip, config.height * factor, config.width * factor, 3];
  return { name: 'arr_0', dtype: 'uint8', shape };
}

/** All that has a part in the images. */
async function originOf({ model, settings, npz }: NpzRun, signal: AbortSignal): Promise<Origin> {
  const { steps, cfg, solver, seed, blocks, window } = settings.request;
  return {
    model: await modelFingerprint(model, signal),
    ...(settings.vae !== undefined && { decoder: await decoderFingerprint(settings.vae) }),
    order: npz.order,
    classes: npz.classes,
    seed,
    steps,
    cfg,
    solver,
    blocks,
    ...(window !== undefined && { window }),
  };
}

async function decoderFingerprint(vae: string): Promise<string> {
  const stored = await openAutoencoder(vae);
  try {
    const { scalingFactor } = stored.config;
    return `${await autoencoderFingerprint(stored, 'decoder')} with scaling factor ${scalingFactor}`;
  } finally {
    await stored.close();
  }
}

async function warnOfSpace(
  path: string,
  { shape: [count, ...row] }: GrowingArray,
  written: number,
  report: Reporter,
): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  const needed = (count - written) * elementCount(row);
  if (needed < bavail * bsize) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  report.warn(`${path} takes ${gigabytes(needed)} more, and ${gigabytes(bavail * bsize)} are free`);
}

function reportEnd(
  { name, settings, npz }: NpzRun,
  { shape }: GrowingArray,
  { made, done }: { readonly made: number; readonly done: boolean },
  started: number,
  report: TerminalReporter,
): undefined {
  const seconds = (performance.now() - started) / 1000;
  const { path, order } = npz;
  const { steps, cfg, solver, seed } = settings.request;
  report.emit({ model: name, file: path, shape, order, steps, cfg, solver, seed, made, done, seconds });
  const time = formatDuration(seconds);
  if (!done) {
    report.say(`stopped after ${made} images in ${time}; the same command goes on from there`);
    return;
  }
  report.say(
    made === 0 ? `${path} is complete: ${shape[0]} images` : `${made} images in ${time}; ${shape[0]} in all`,
  );
  report.print(path);
}
