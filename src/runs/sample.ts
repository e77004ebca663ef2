/** @file Samples images or videos into a folder, and a grid of them. */

import { dirname } from 'node:path';
import { at } from '../at.ts';
import type { Decoder } from '../decoding/decoder.ts';
import { encodeNpy } from '../formats/npy.ts';
import { invalidOption } from '../invalid-option.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { counted, formatDuration } from '../io/quantities.ts';
import { sideBySide, writePng } from '../media/image.ts';
import type { VideoFormat } from '../media/video-writer.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { streamFrames } from '../sampling/frames.ts';
import { passesOfSample, untrainedNote } from '../sampling/request.ts';
import type { SampleEvent, Sampler } from '../sampling/sampler.ts';
import type { PerBlock } from '../sampling/settings.ts';
import { joinAxis } from '../tensor/axes.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BatchHandler, batchRequests, openSampler, type RanOn, sampleAhead } from './batches.ts';
import { requireFreeFiles } from './checks.ts';
import { chooseLabels } from './chosen-labels.ts';
import { readGiven } from './continuation.ts';
import { labelName } from './labels.ts';
import { contextOf } from './reporter.ts';
import {
  addToGrid,
  DEFAULT_FPS,
  imagesOf,
  labelledGrid,
  type NamedImage,
  openVideoFiles,
  type VideoSettings,
} from './sample-files.ts';
import { openSampleFolder, type SampleFolder } from './sample-folder.ts';
import {
  findAutoencoder,
  openDecoder,
  planRun,
  type SamplingOptions,
  type SamplingRecord,
  settingsOf,
} from './sampling-plan.ts';

/** What to sample, and where it goes. */
export interface SampleOptions extends SamplingOptions {
  /** Folder of the images or videos (default: samples). Samples of earlier runs in it are kept. */
  readonly out?: string | undefined;
  /** Image, video or folder of frames whose first blocks every sample continues. */
  readonly continue?: string | undefined;
  /** Blocks that `continue` keeps (default: all but one, or as many as there are frames for). */
  readonly keep?: number | undefined;
  /** Format of videos (default: mp4); png is a folder of frames. */
  readonly format?: VideoFormat | undefined;
  /** Frames per second of videos (default: 4). */
  readonly fps?: number | undefined;
  /** Starting noise (N, T, B, C), instead of the seed's. */
  readonly noise?: Tensor<'float32'> | undefined;
  /** File (.npy) for the final latents (N, T, B, C). */
  readonly latents?: string | undefined;
  /**
   * Whether images or videos are written; without them, latents are (default: true, unless `latents` is given and the
   * model's autoencoder is not).
   */
  readonly decode?: boolean | undefined;
}

/** A finished sample. */
export interface FinishedSample {
  readonly label: PerBlock;
  /** The name of its class. */
  readonly name: string;
  /** Path of its image or video. */
  readonly file?: string;
}

/** What a run of {@link sample} wrote, and how it was sampled. */
export interface SampleResult extends SamplingRecord {
  /** All finished samples; fewer than asked for if the run was aborted. */
  readonly samples: readonly FinishedSample[];
  /** Path of the grid. */
  readonly grid?: string;
  /** Path of the latents. */
  readonly latents?: string;
  /** Blocks that were continued. */
  readonly keptBlocks?: number;
  /** A remark, if blocks attended to a sliding window, for which the model is not trained. */
  readonly untrained?: string;
}

/** A run with everything checked and read. */
type Run = Awaited<ReturnType<typeof prepare>>;

/** Everything that is finished. */
interface Finished {
  /** As many as the grid shows; of videos, their first frames side by side. */
  readonly shown: NamedImage[];
  /** Paths of the images or videos. */
  readonly files: string[];
  /** One (N, T, B, C) per batch, if they are to be written. */
  readonly latents: Tensor<'float32'>[];
  ranOn: RanOn;
}

/** A run under way. */
interface Sampling extends Run {
  readonly sampler: Sampler;
  readonly finished: Finished;
  /** Where images or videos go, and what decodes them; undefined for latents alone. */
  readonly output: { readonly folder: SampleFolder; readonly decoder: Decoder } | undefined;
  /** Shows how far the run is. @param first number of the batch's first sample. */
  onStep(event: SampleEvent & { readonly kind: 'step' }, first: number | undefined): void;
  show(fields: Record<string, string>): void;
}

/**
 * Samples images or videos from a model, and writes them into a folder next to a grid of them.
 * @returns what was written. If the signal is aborted, that is what was finished by then.
 * @throws {ArgumentError} for the first option that does not fit the model; {AcditError} if a file cannot be written.
 */
export async function sample(options: SampleOptions): Promise<SampleResult> {
  const started = performance.now();
  const run = await prepare(options);
  const { request, first, report, signal } = run;
  const { out = 'samples', overwrite = false } = options;
  const count = request.labels.length;
  const isUsed = run.decodes || run.latents === undefined;
  const folder = isUsed ? await openSampleFolder(out, { count, overwrite, signal }) : undefined;
  try {
    const finished = await collect(run, folder);
    const written = await writeResults(run, finished, folder);
    const seconds = (performance.now() - started) / 1000;
    const samples = finishedSamples(run, finished);
    const untrained = untrainedNote(run.config, first);
    if (untrained) report.say(`note: ${untrained}`);
    const what = signal.aborted
      ? `stopped after ${samples.length} of ${counted(count, 'sample')}`
      : counted(count, 'sample');
    report.say(`${what} in ${formatDuration(seconds)}`);
    const { given } = request;
    return {
      samples,
      ...written,
      ...settingsOf(run, finished.ranOn),
      ...(given && { keptBlocks: at(given.shape, 1) }),
      ...(untrained !== undefined && { untrained }),
      seconds,
    };
  } finally {
    await folder?.release();
  }
}

/** What can be done with samples of latents without an autoencoder. */
const WITHOUT_AUTOENCODER = ', or use --latents F.npy --no-decode';

/** Checks all options, and reads what is continued. */
async function prepare(options: SampleOptions) {
  const { model, device, latents, vae: named, noise, overwrite } = options;
  const { config } = model;
  const context = contextOf(options);
  const ofLatents = config.space === 'latents';
  const videos = videoSettings(config, options);
  const { labels, notes } = chooseLabels(config, options, options.blocks ?? config.blocks);
  for (const note of notes) context.report.note(note);
  // Latents that are asked for without naming an autoencoder are wanted instead of images.
  const { decode = !(ofLatents && latents !== undefined && named === undefined) } = options;
  const keepsLatents = latents !== undefined || !decode;
  const plan = await planRun(options, labels, { keepsLatents, noise }, context);
  await requireFreeFiles([latents], overwrite);
  const needsAutoencoder = decode || options.continue !== undefined || !ofLatents;
  const vae = needsAutoencoder ? await findAutoencoder(options, WITHOUT_AUTOENCODER) : undefined;
  const { continue: path, keep } = options;
  if (path === undefined && keep !== undefined) {
    throw invalidOption('keep', 'says how much of --continue is kept; give both, or leave it out');
  }
  const { blocks } = plan.request;
  const { threads } = device;
  const given =
    path === undefined
      ? undefined
      : await readGiven(config, { source: path, keep, blocks, vae, threads, signal: context.signal });
  const continued = given && { given };
  return {
    ...plan,
    request: { ...plan.request, ...continued },
    first: { ...plan.first, ...continued },
    config,
    /** Folder of the autoencoder, for a model of latents. */
    vae,
    decodes: decode,
    keepsLatents,
    latents,
    /** How videos are written, if the model makes any. */
    videos,
  };
}

function videoSettings({ frames }: AcditConfig, { format, fps }: SampleOptions): VideoSettings | undefined {
  if (frames > 1) return { format: format ?? 'mp4', fps: fps ?? DEFAULT_FPS };
  const stray = format !== undefined ? 'format' : fps !== undefined ? 'fps' : undefined;
  if (stray) throw invalidOption(stray, 'is for clips, but this model makes pictures; leave it out');
  return undefined;
}

/** Samples, and writes each sample when it is finished. Ends early, without an error, if the run is aborted. */
async function collect(run: Run, folder: SampleFolder | undefined): Promise<Finished> {
  const { config, request, first, device, report, signal } = run;
  const ranOn = { device: device.name, precision: run.precision };
  const finished: Finished = { shown: [], files: [], latents: [], ranOn };
  const decoder = run.decodes ? openDecoder(config, request, run.vae, device, signal) : undefined;
  const batches = Math.ceil(request.labels.length / request.batch);
  const passes = passesOfSample(first);
  const progress = report.progress({ total: passes * batches, label: 'sample', unit: 'pass' });
  let done = 0;
  const sampling: Omit<Sampling, 'sampler'> = {
    ...run,
    finished,
    output: decoder && folder && { decoder, folder },
    onStep({ block, passes }, number = 0) {
      const last = Math.min(number + request.batch, request.labels.length);
      const samples = `${number + 1}-${last}/${request.labels.length}`;
      done += passes;
      progress.update(done, { samples, block: `${block + 1}/${request.blocks}` });
    },
    show: (fields) => progress.update(done, fields),
  };
  try {
    const sampler = await openSampler(run, signal);
    finished.ranOn = sampler;
    await (run.videos ? sampleVideos : sampleImages)({ ...sampling, sampler });
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  } finally {
    progress.finish();
    await decoder?.close();
  }
  return finished;
}

/** Samples images, or latents alone. */
function sampleImages({ sampler, ...sampling }: Sampling): Promise<void> {
  const { config, request, signal, keepsLatents, finished, output, onStep, show } = sampling;
  const decode = async (latents: Tensor<'float32'>): Promise<void> => {
    if (keepsLatents) finished.latents.push(latents);
    if (!output) return;
    const images = await output.decoder.decode(latents, {
      onProgress: (share) => show({ decoded: `${Math.floor(share * 100)}%` }),
    });
    for (const image of imagesOf(images)) {
      const index = finished.files.length;
      const name = labelName(config, at(request.labels, index));
      const file = `${output.folder.stem(index, name)}.png`;
      await writePng(file, image);
      finished.files.push(file);
      addToGrid(finished.shown, { name, image });
    }
  };
  const handler: BatchHandler = { onStep: (event, { first }) => onStep(event, first), onDone: decode };
  return sampleAhead(sampler, request, { signal }, handler);
}

/** Samples videos, whose files grow block by block. */
async function sampleVideos(sampling: Sampling): Promise<void> {
  const {
    config,
    request,
    signal,
    keepsLatents,
    finished,
    output,
    onStep,
    show,
    videos: settings,
  } = sampling;
  if (!output || !settings) return sampleImages(sampling);
  const { decoder, folder } = output;
  await closingAfter(sampling.sampler, async (sampler) => {
    for (const batch of batchRequests(request, { signal })) {
      const { first = 0, labels } = batch;
      const names = labels.map((label) => labelName(config, label));
      const stems = names.map((name, i) => folder.stem(first + i, name));
      const videos = openVideoFiles(stems, settings);
      try {
        for await (const event of streamFrames(config, sampler.sample(batch), decoder.decode)) {
          if (event.kind === 'frames') {
            await videos.add(event.frames);
            show({ frames: String(event.first + at(event.frames.shape, 1)) });
          } else if (event.kind === 'step') onStep(event, first);
          else if (event.kind === 'done' && keepsLatents) finished.latents.push(event.latents);
        }
      } finally {
        for (const [i, { path, firstFrames }] of (await videos.finish()).entries()) {
          finished.files.push(path);
          addToGrid(finished.shown, { name: at(names, i), image: sideBySide(firstFrames) });
        }
      }
    }
  });
}

function finishedSamples({ config, request }: Run, { files, latents }: Finished): FinishedSample[] {
  const sampled = latents.reduce((sum, { shape }) => sum + at(shape, 0), 0);
  const count = Math.max(files.length, sampled);
  return request.labels.slice(0, count).map((label, index) => {
    const file = files[index];
    return { label, name: labelName(config, label), ...(file !== undefined && { file }) };
  });
}

/** Writes the grid and the latents of all finished samples. */
async function writeResults(
  run: Run,
  { shown, latents }: Finished,
  folder: SampleFolder | undefined,
): Promise<Pick<SampleResult, 'grid' | 'latents'>> {
  const grid = shown.length > 0 ? folder?.grid : undefined;
  // An interrupted video is shorter than the others.
  const width = Math.max(...shown.map(({ image }) => image.width));
  if (grid !== undefined)
    await writePng(grid, labelledGrid(shown.filter(({ image }) => image.width === width)));
  const file = latents.length > 0 ? (run.latents ?? folder?.latents) : undefined;
  if (file !== undefined) {
    await makeFolders(dirname(file));
    const bytes = encodeNpy(joinAxis(latents, 0));
    await writeFileAtomically(file, (write) => write(bytes));
  }
  return { ...(grid !== undefined && { grid }), ...(file !== undefined && { latents: file }) };
}
