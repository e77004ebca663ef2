/**
 * @file Samples as many images or videos as papers evaluate, in one file as they exchange them. Each sample depends on the
 * seed and its number only, so however a run ended, the next one resumes as if nothing had happened.
 */

import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { at } from '../at.ts';
import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { autoencoderFingerprint } from '../checkpoints/autoencoder-fingerprint.ts';
import { modelFingerprint } from '../checkpoints/model-fingerprint.ts';
import { onEach } from '../distributed/agree.ts';
import { requireAlike } from '../distributed/alike.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { inOrder } from '../distributed/in-order.ts';
import { ArgumentError } from '../errors.ts';
import {
  isFinishedNpz,
  openResumableNpz,
  partialFile,
  type ResumableArray,
  type ResumableNpz,
} from '../formats/resumable-npz.ts';
import type { Origin } from '../formats/resumable-npz-journal.ts';
import { invalidOption } from '../invalid-option.ts';
import { companionFile, makeFolders } from '../io/atomic-write.ts';
import { closingAfter, closingOnError } from '../io/byte-source.ts';
import { missingSpace } from '../io/file-source.ts';
import { type Lock, takeLock } from '../io/lock.ts';
import type { Part } from '../io/parts.ts';
import { formatDuration } from '../io/quantities.ts';
import { rgbBytes } from '../media/pixels.ts';
import { type AcditConfig, frameCount, imageSize } from '../models/acdit/config.ts';
import { defined } from '../records.ts';
import { DEFAULT_SEED, passesOfSample } from '../sampling/request.ts';
import { finalLatents, type Sampler } from '../sampling/sampler.ts';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.ts';
import { batchRequests, openSampler, type RanOn, sampleAhead } from './batches.ts';
import { type LabelOrder, manyLabels } from './chosen-labels.ts';
import { copyPart, type FinishedPart, fileOfPart, finishedParts } from './npz-parts.ts';
import { contextOf } from './reporter.ts';
import {
  findAutoencoder,
  guidanceRecord,
  openDecoder,
  planRun,
  type SamplingOptions,
  type SamplingPlan,
  type SamplingRecord,
  settingsOf,
} from './sampling-plan.ts';

/** What to sample, and the file it goes to. */
export interface SampleNpzOptions extends SamplingOptions {
  /** File (.npz): `arr_0` uint8 (N, H, W, 3) or of videos (N, frames, H, W, 3), and `arr_1`, the labels. */
  readonly npz: string;
  /** The processes that sample together, all with the same options. The first one alone reports and writes the file. */
  readonly ranks?: Ranks | undefined;
  /**
   * Make only this part, in a file of its own (`samples.part-3-of-16.npz`); without it, if files of parts exist, they are
   * put together.
   */
  readonly part?: Part | undefined;
}

/** What is in the file, and how it was sampled. */
export interface SampleNpzResult extends SamplingRecord {
  readonly file: string;
  /** Shape of `arr_0` when the file is complete. */
  readonly shape: readonly number[];
  readonly order: LabelOrder;
  /** Samples of this run; earlier ones may have made others. */
  readonly made: number;
  /** Whether the file is complete; if not, the run was aborted, and the same options resume it. */
  readonly done: boolean;
}

/** A run with everything checked. */
type Run = Awaited<ReturnType<typeof prepare>>;

/**
 * Samples until the file is complete, or the run is aborted. A file that an earlier run left unfinished is continued.
 * @throws {ArgumentError} for the first option that does not fit the model, and if there is a file from other settings
 * that may not be overwritten, or another process writes it; {AcditError} if it cannot be written.
 */
export async function sampleNpz(options: SampleNpzOptions): Promise<SampleNpzResult> {
  const started = performance.now();
  const { ranks } = options;
  const run = await onEach(ranks, () => prepare(options));
  const { npz, array, chosen, report } = run;
  const { made, done, ranOn } = await complete(run, options.overwrite ?? false);
  const seconds = (performance.now() - started) / 1000;
  const time = formatDuration(seconds);
  const [count] = array.shape;
  if (!done) report.say(`stopped after ${made} images in ${time}; the same command resumes from there`);
  else if (made === 0) report.say(`${npz} is complete: ${count} images`);
  else report.say(`${made} images in ${time}; ${count} in all`);
  return {
    file: npz,
    shape: array.shape,
    order: chosen.order,
    ...settingsOf(run, ranOn),
    made,
    done,
    seconds,
  };
}

async function prepare(options: SampleNpzOptions) {
  const { npz, part, seed = DEFAULT_SEED } = options;
  const { config } = options.model;
  const context = contextOf(options);
  const chosen = manyLabels(config, options, seed);
  for (const note of chosen.notes) context.report.note(note);
  const plan = await planRun(options, chosen.labels, { throughput: true }, context);
  const { batch } = plan.request;
  const whole = { path: npz, array: imageArray(config, plan.request), batch, origin: {} };
  const { path, array, first, end } = fileOfPart(whole, part);
  const vae = await findAutoencoder(options);
  const file = { npz: path, array, range: { first, end }, whole, part };
  return { ...plan, ...file, vae, chosen, ranks: options.ranks };
}

/** What {@link complete} did. */
interface Completed extends Pick<SampleNpzResult, 'made' | 'done'> {
  readonly ranOn: RanOn;
}

/** The file of a run and its lock. */
interface Output {
  readonly lock: Lock;
  /** Undefined if it is complete. */
  readonly file: ResumableNpz | undefined;
}

/** The file of a run that is not complete. */
interface WritableOutput extends Output {
  readonly file: ResumableNpz;
}

/** Completes the file, or does as much as it can until the run is aborted. */
async function complete(run: Run, overwrite: boolean): Promise<Completed> {
  const { device, precision, ranks, signal } = run;
  let sampler: Sampler | undefined;
  const open = async (): Promise<Sampler> => {
    sampler ??= await openSampler(run, signal);
    return sampler;
  };
  const ranOn = (): RanOn => sampler ?? { device: device.name, precision };
  let output: Output | undefined;
  const begin = async (): Promise<void> => {
    // The images depend on the precision, and whether the model computes rightly in it shows when it is loaded.
    if (precision !== 'fp32') await open();
    if (isFirst(ranks)) output = await openOutput(run, ranOn(), overwrite);
  };
  try {
    await onEach(ranks, begin);
    if (ranks) await requireAlike(ranks.communicator, { 'the precision': ranOn().precision });
    const { file, lock } = output ?? {};
    const start = await startOf(ranks, file);
    if (start === undefined) return { made: 0, done: true, ranOn: ranOn() };
    const done = await makeRows(run, open, start, file && lock ? { file, lock } : undefined);
    return { made: (file?.rows ?? start) - start, done, ranOn: ranOn() };
  } finally {
    await sampler?.dispose();
    await (output as Output | undefined)?.lock.close();
  }
}

/** Whether this process reports and writes the file. */
function isFirst(ranks: Ranks | undefined): boolean {
  return ranks === undefined || ranks.communicator.rank === 0;
}

/** The row of the file at which all ranks begin; undefined if it is complete. Collective. */
async function startOf(
  ranks: Ranks | undefined,
  file: ResumableNpz | undefined,
): Promise<number | undefined> {
  const start = Float64Array.of(file?.rows ?? -1);
  await ranks?.communicator.broadcast(start);
  return at(start, 0) < 0 ? undefined : at(start, 0);
}

/** Locks the file, and opens it where an earlier run has left it, or puts it together from its parts. */
async function openOutput(run: Run, ranOn: RanOn, overwrite: boolean): Promise<Output> {
  const { npz, array, report, signal, part } = run;
  await makeFolders(dirname(npz));
  const lock = await takeLock(companionFile(partialFile(npz), '.lock'), {
    signal,
    refusal: (owner) =>
      new ArgumentError(
        `cannot write ${npz}: ${owner} is writing it; wait until it has finished, or give another name`,
      ),
    onWait: (owner) => report.say(`checking whether ${owner} still writes ${npz}`),
  });
  return closingOnError(lock, async () => {
    const whole = { ...run.whole, origin: await originOf(run, ranOn) };
    const { origin } = fileOfPart(whole, part);
    if (await isFinishedNpz(npz, array, origin, { overwrite })) return { lock, file: undefined };
    const parts = part ? [] : await finishedParts(whole);
    const file = await openResumableNpz(npz, array, origin, report.warn, { overwrite });
    const [count = 0, ...row] = array.shape;
    const missing = await missingSpace(dirname(npz), (count - file.rows) * elementCount(row));
    if (missing !== undefined) report.warn(missing);
    await closingOnError(file, () => combine(parts, { file, lock }, run));
    return { lock, file };
  });
}

/** Appends the rows of all parts. */
async function combine(
  parts: readonly FinishedPart[],
  { file, lock }: WritableOutput,
  { report, signal }: Run,
): Promise<void> {
  const [last] = parts.slice(-1);
  if (!last) return;
  const progress = report.progress({ total: last.end, start: file.rows, label: 'combine', unit: 'image' });
  try {
    for (const part of parts) {
      const skipped = Math.max(0, file.rows - part.first);
      if (part.first + skipped >= part.end) continue;
      await copyPart(part, { skipped, signal }, async (rows) => {
        await lock.requireHeld();
        await file.append(rows);
        progress.update(file.rows);
      });
    }
  } finally {
    progress.finish();
  }
  const [{ path }] = [last];
  report.say(
    `combined ${parts.length} parts, which are no longer needed: ${path.replace(/-\d+-of-/, '-*-of-')}`,
  );
}

/**
 * Samples what is missing from a row on, and closes the file.
 * @param output is on the first rank only
 * @returns whether it is complete; it is not if the run is aborted
 */
async function makeRows(
  run: Run,
  open: () => Promise<Sampler>,
  start: number,
  output: WritableOutput | undefined,
): Promise<boolean> {
  const { model, device, first, chosen, report, signal, ranks, range } = run;
  const labels = chosen.labels.slice(range.first, range.end);
  const request = { ...run.request, labels: chosen.labels.slice(0, range.end) };
  const decoder = openDecoder(model.config, request, run.vae, device, signal);
  const progress = report.progress({ total: labels.length, start, label: 'sample', unit: 'image' });
  const passesPerSample = passesOfSample(first);
  const append = async (images: Uint8Array): Promise<void> => {
    await output?.lock.requireHeld();
    await output?.file.append(images);
  };
  try {
    if (start < labels.length && ranks) {
      await sampleOnRanks(ranks, request, open, range.first + start, {
        make: async (latents) => rgbBytes(await decoder.decode(latents)),
        async take(images, end) {
          await append(images);
          progress.update(end - range.first);
        },
      });
    } else if (start < labels.length) {
      await sampleAhead(
        await open(),
        request,
        { first: range.first + start, signal },
        {
          onStep(_, { first: number = 0, labels: batch }, done) {
            progress.update(number - range.first + Math.floor((batch.length * done) / passesPerSample));
          },
          onDone: async (latents) => append(rgbBytes(await decoder.decode(latents))),
        },
      );
    }
    progress.update(labels.length);
    await output?.lock.requireHeld();
    await output?.file.finish({
      arr_1: tensor('int64', [labels.length], BigInt64Array.from(labels, BigInt)),
    });
    return true;
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    return false;
  } finally {
    progress.finish();
    await output?.file.close();
    await decoder.close();
  }
}

/** What is made of the latents of a batch, on the rank that samples it, and taken in order on the first one. */
interface BatchWork {
  make(latents: Tensor<'float32'>): Promise<Uint8Array>;
  /** @param end number of the sample after the batch */
  take(images: Uint8Array, end: number): Promise<void>;
}

/** Samples batch i on rank i mod R. */
async function sampleOnRanks(
  ranks: Ranks,
  request: Run['request'],
  open: () => Promise<Sampler>,
  start: number,
  { make, take }: BatchWork,
): Promise<void> {
  const batches = [...batchRequests(request, { first: start })];
  await inOrder(ranks, {
    count: batches.length,
    async make(item, signal) {
      const sampler = await open();
      return make(await finalLatents(sampler.sample({ ...at(batches, item), signal })));
    },
    async take(images, item) {
      const { first = 0, labels } = at(batches, item);
      await take(images, first + labels.length);
    },
  });
}

/** Describes `arr_0`: (N, H, W, 3), or of videos (N, frames, H, W, 3). */
function imageArray(config: AcditConfig, { labels, blocks }: SamplingPlan['request']): ResumableArray {
  const { width, height } = imageSize(config);
  const frames = frameCount(config, blocks);
  if (!Number.isInteger(frames)) {
    throw invalidOption('blocks', `${blocks} end within a frame; with --npz, give whole frames`);
  }
  const video = config.frames > 1 ? [frames] : [];
  const shape = [labels.length, ...video, height, width, 3];
  return { name: 'arr_0', dtype: 'uint8', shape };
}

/** Returns everything that determines the images. */
async function originOf(
  { model, vae, chosen, request, first, signal }: Run,
  { precision }: RanOn,
): Promise<Origin> {
  const { weights } = first;
  const { steps, timesteps, solver, seed, blocks, window, contextNoise } = request;
  return {
    model: await modelFingerprint(model, signal),
    ...(vae !== undefined && { decoder: await decoderFingerprint(vae) }),
    order: chosen.order,
    classes: chosen.classes,
    seed,
    steps,
    ...guidanceRecord(request),
    solver,
    blocks,
    ...(timesteps !== 'uniform' && { timesteps }),
    ...(weights && { weights: hashOf({ timesteps: first.timesteps, weights }) }),
    ...defined({ window, contextNoise }),
    ...(precision !== 'fp32' && { precision }),
  };
}

function hashOf(value: object): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

async function decoderFingerprint(vae: string): Promise<string> {
  return closingAfter(await openAutoencoder(vae), async (stored) => {
    const fingerprint = await autoencoderFingerprint(stored, 'decoder');
    return `${fingerprint} with scaling factor ${stored.config.scalingFactor}`;
  });
}
