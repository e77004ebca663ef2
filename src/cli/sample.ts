/** @file `acdit sample`: pictures from a model. */

import { dirname } from 'node:path';
import { type StoredModel, weightSource } from '../checkpoints/load.ts';
import { type Decoder, requireAutoencoder } from '../decoding/decoder.ts';
import { ArgumentError } from '../errors.ts';
import { encodeNpy } from '../formats/npy.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { writePng } from '../media/image.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type BatchedRequest, batchRequests, latentShape, stepsOfSample } from '../runs/batches.ts';
import { namedOrBundled } from '../runs/bundled-model.ts';
import { readGiven } from '../runs/continuation.ts';
import { addToGrid, labelledGrid, type NamedImage, picturesOf, writeNamed } from '../runs/image-grid.ts';
import { labelName } from '../runs/labels.ts';
import { openSampleFolder, type SampleFolder, unusedSampleFolder } from '../runs/sample-folder.ts';
import { type ClipSettings, openClips } from '../runs/video-files.ts';
import type { Device } from '../runtime/device.ts';
import { streamFrames } from '../sampling/frames.ts';
import { planLength, UNTRAINED } from '../sampling/request.ts';
import { createSampler, type SampleEvent, type Sampler } from '../sampling/sampler.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { openChosenModel } from './checkpoint-flags.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { openDevice } from './device.ts';
import { modelPath } from './model-path.ts';
import { formatDuration } from './progress.ts';
import { openDecoder } from './sample-decoder.ts';
import { sampleToNpz } from './sample-npz.ts';
import { type SampleSettings, type SampleValues, sampleFlags, sampleSettings } from './sample-settings.ts';

export const sampleCommand = defineCommand({
  name: 'sample',
  positionals: ['[MODEL]'],
  summary:
    'Sample images (PNG) or videos, and a grid of them, whose path is printed last. MODEL is a model folder, a .safetensors\n' +
    'file in one, an official .pt, or a model of the Hugging Face Hub: ACDiT-XL-img, owner/repo/file. Without MODEL, the\n' +
    'bundled image model is used; with --video, the bundled video model.',
  flags: sampleFlags,
  run: ({ values, given, positionals }, context) =>
    sample(modelName(positionals[0], values), values, given, context),
});

function modelName(positional: string | undefined, { ckpt, video }: SampleValues): string {
  if (positional !== undefined && ckpt !== undefined) {
    throw new ArgumentError(`both MODEL (${positional}) and --ckpt (${ckpt}) name a model; give one of them`);
  }
  return namedOrBundled(positional ?? ckpt, video);
}

async function sample(
  name: string,
  values: SampleValues,
  given: ReadonlySet<string>,
  context: CommandContext,
): Promise<undefined> {
  const { report, signal } = context;
  const path = await modelPath(name, context);
  const started = performance.now();
  const device = await openDevice(values);
  const model = await openChosenModel(path, values);
  try {
    const settings = await prepare(model.config, values, given, device, context);
    const { npz } = settings;
    if (npz) {
      const { overwrite } = values;
      return await sampleToNpz({ name, model, settings, npz, device, overwrite }, context);
    }
    const isUsed = settings.decode || settings.latentsFile === undefined;
    const folder = isUsed
      ? await openSampleFolder(settings.folder, {
          count: settings.request.labels.length,
          overwrite: values.overwrite,
          signal,
        })
      : unusedSampleFolder(settings.folder);
    const { results, written } = await runInto(folder, model, settings, device, context).finally(
      folder.release,
    );
    const seconds = (performance.now() - started) / 1000;
    report.emit(describe(name, model.config, settings.request, results, written, seconds));
    summarize(model.config, settings.request, results, written, seconds, context);
    signal.throwIfAborted();
  } finally {
    await model.archive.close();
  }
}

/** Settings with everything read that is gone on from. */
async function prepare(
  config: AcditConfig,
  values: SampleValues,
  given: ReadonlySet<string>,
  { threads }: Device,
  context: CommandContext,
): Promise<SampleSettings> {
  const settings = await sampleSettings(config, values, given, context);
  const { vae, continuation, request } = settings;
  if (vae !== undefined) await requireAutoencoder(config, vae);
  if (!continuation) return settings;
  const { blocks = config.blocks } = request;
  const { signal } = context;
  const kept = await readGiven(config, { ...continuation, blocks, vae, threads, signal });
  return { ...settings, request: { ...request, given: kept } };
}

/** Sample, and write everything. */
async function runInto(
  folder: SampleFolder,
  model: StoredModel,
  settings: SampleSettings,
  device: Device,
  context: CommandContext,
): Promise<{ results: Results; written: Written }> {
  const results = await collect(folder, model, settings, device, context);
  return { results, written: await writeResults(folder, model.config, settings, results) };
}

/** Everything that is finished. */
interface Results {
  /** As many as the grid shows; for videos, their first frames side by side. */
  readonly pictures: NamedImage[];
  /** Paths of the pictures or clips. */
  readonly files: string[];
  /** One (N, T, B, C) a batch, if they are to be written. */
  readonly latents: Tensor<'float32'>[];
}

/** Samples of which there is anything. */
function finishedCount({ files, latents }: Results): number {
  return Math.max(files.length, sampleCount(latents));
}

function sampleCount(batches: readonly Tensor[]): number {
  return batches.reduce((sum, { shape }) => sum + shape[0], 0);
}

/** A run: what is asked for, what comes out, and how far it is. */
interface Run {
  readonly folder: SampleFolder;
  readonly config: AcditConfig;
  readonly settings: SampleSettings;
  readonly decoder: Decoder | undefined;
  readonly results: Results;
  /** Called at each step; and with what else is to be shown. */
  onStep(event: SampleEvent, first: number): void;
  show(fields: Record<string, string>): void;
}

/** Sample, and write what is finished as it is. Ends early, with what there is, when interrupted. */
async function collect(
  folder: SampleFolder,
  model: StoredModel,
  settings: SampleSettings,
  device: Device,
  { report, signal }: CommandContext,
): Promise<Results> {
  const { config } = model;
  const { request } = settings;
  const results: Results = { pictures: [], files: [], latents: [] };
  const decoder = openDecoder(config, settings, device, signal);
  const total = stepCount(config, request);
  const progress = report.progress({ total, label: 'sample' });
  const { blocks = config.blocks } = request;
  let steps = 0;
  const run: Run = {
    folder,
    config,
    settings,
    decoder,
    results,
    onStep(event, first) {
      if (event.kind !== 'step') return;
      const last = Math.min(first + request.batch, request.labels.length);
      const samples = `${first + 1}-${last}/${request.labels.length}`;
      progress.update(++steps, { samples, block: `${event.block + 1}/${blocks}` });
    },
    show: (fields) => progress.update(steps, fields),
  };
  try {
    const sampler = await createSampler({ config, weights: weightSource(model), device, signal });
    await (decoder && settings.clips
      ? sampleClips(run, decoder, sampler, settings.clips, signal)
      : samplePictures(run, sampler, signal));
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  } finally {
    progress.finish();
    await decoder?.close();
    await device.dispose();
  }
  return results;
}

/** Pictures, or latents alone: one batch is finished while the next is sampled. */
async function samplePictures(run: Run, sampler: Sampler, signal: AbortSignal): Promise<void> {
  let finishing = Promise.resolve();
  try {
    for (const batch of batchRequests(run.settings.request, signal)) {
      for await (const event of sampler.sample(batch)) {
        run.onStep(event, batch.first ?? 0);
        if (event.kind !== 'done') continue;
        await finishing;
        finishing = finishPictures(run, event.latents);
        finishing.catch(() => {}); // it is waited for below
      }
    }
    await sampler.dispose(); // makes room for decoding
  } catch (error) {
    await finishing.catch(() => {});
    throw error;
  }
  await finishing;
}

async function finishPictures(
  { folder, config, settings, decoder, results, show }: Run,
  latents: Tensor<'float32'>,
): Promise<void> {
  if (settings.writesLatents) results.latents.push(latents);
  const images = await decoder?.decode(latents, {
    onProgress: (share) => show({ decoded: `${Math.floor(share * 100)}%` }),
  });
  for (const image of images ? picturesOf(images) : []) {
    const index = results.files.length;
    const picture = { name: labelName(config, settings.request.labels[index]), image };
    results.files.push(await writeNamed(folder.path, folder.first + index, picture));
    addToGrid(results.pictures, picture);
  }
}

/** Clips, whose files grow block by block. */
async function sampleClips(
  run: Run,
  decoder: Decoder,
  sampler: Sampler,
  clipSettings: ClipSettings,
  signal: AbortSignal,
): Promise<void> {
  const { folder, config, settings, results } = run;
  for (const batch of batchRequests(settings.request, signal)) {
    const { first = 0, labels } = batch;
    const names = labels.map((label) => labelName(config, label));
    const clips = openClips(folder.path, folder.first + first, names, clipSettings);
    try {
      for await (const event of streamFrames(config, sampler.sample(batch), decoder.decode)) {
        if (event.kind === 'frames') {
          await clips.add(event.frames);
          run.show({ frames: String(event.first + event.frames.shape[1]) });
        } else {
          run.onStep(event, first);
          if (event.kind === 'done' && settings.writesLatents) results.latents.push(event.latents);
        }
      }
    } finally {
      await clips.finish();
      results.files.push(...clips.files);
      for (const [i, image] of clips.strips().entries())
        addToGrid(results.pictures, { name: names[i], image });
    }
  }
}

/** Solver steps of all batches. */
function stepCount(config: AcditConfig, request: BatchedRequest): number {
  return stepsOfSample(config, request) * Math.ceil(request.labels.length / request.batch);
}

interface Written {
  readonly grid: string | undefined;
  readonly latents: string | undefined;
}

async function writeResults(
  folder: SampleFolder,
  config: AcditConfig,
  { writesLatents, latentsFile = folder.latents, request }: SampleSettings,
  { pictures, latents }: Results,
): Promise<Written> {
  const grid = pictures.length > 0 ? folder.grid : undefined;
  // An interrupted clip is shorter than the others.
  const width = Math.max(...pictures.map(({ image }) => image.width));
  if (grid) await writePng(grid, labelledGrid(pictures.filter(({ image }) => image.width === width)));
  if (latents.length === 0 || !writesLatents) return { grid, latents: undefined };
  const all = new Float32Array(latents.reduce((sum, { data }) => sum + data.length, 0));
  let offset = 0;
  for (const { data } of latents) {
    all.set(data, offset);
    offset += data.length;
  }
  await makeFolders(dirname(latentsFile));
  const bytes = encodeNpy(float32(latentShape(config, sampleCount(latents), request.blocks), all));
  await writeFileAtomically(latentsFile, (write) => write(bytes));
  return { grid, latents: latentsFile };
}

function describe(
  model: string,
  config: AcditConfig,
  request: BatchedRequest,
  results: Results,
  { grid, latents }: Written,
  seconds: number,
) {
  const { labels, steps, cfg, solver, seed, given } = request;
  return {
    model,
    samples: labels.slice(0, finishedCount(results)).map((label, index) => ({
      label,
      name: labelName(config, label),
      ...(results.files[index] !== undefined && { file: results.files[index] }),
    })),
    ...(grid !== undefined && { grid }),
    ...(latents !== undefined && { latents }),
    steps,
    cfg,
    solver,
    seed,
    ...(given && { keptBlocks: given.shape[1] }),
    ...(planLength(config, request).slides && { untrained: UNTRAINED }),
    seconds,
  };
}

function summarize(
  config: AcditConfig,
  request: BatchedRequest,
  results: Results,
  { grid, latents }: Written,
  seconds: number,
  { report, signal }: CommandContext,
): void {
  const { labels } = request;
  const finished = finishedCount(results);
  if (planLength(config, request).slides) report.say(`note: ${UNTRAINED}`);
  const what = signal.aborted
    ? `stopped after ${finished} of ${labels.length} samples`
    : `${finished} samples`;
  report.say(`${what} in ${formatDuration(seconds)}`);
  const clips = config.frames > 1 ? results.files : [];
  for (const path of [latents, ...clips, grid]) if (path !== undefined) report.print(path);
}
