/** @file `acdit sample`: pictures from a model. */

import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openModel, type StoredModel, weightSource } from '../checkpoints/load.ts';
import { ArgumentError } from '../errors.ts';
import { writeFileAtomically } from '../formats/atomic-write.ts';
import { encodeNpy } from '../formats/npy.ts';
import { writePng } from '../media/image.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { createSampler } from '../sampling/sampler.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { bundledModel } from './bundled-model.ts';
import { defineCommand, type Terminal } from './command.ts';
import { type Decoder, localDecoder, pixelDecoder, processDecoder, requireAutoencoder } from './decoder.ts';
import { openDevice } from './device.ts';
import { labelName } from './labels.ts';
import { modelPath } from './model-path.ts';
import { labelledGrid, type NamedImage, picturesOf, writeNamed } from './pictures.ts';
import { formatDuration, startProgress } from './progress.ts';
import { type BatchedRequest, latentShape, sampleBatches } from './sample-batches.ts';
import { type SampleSettings, type SampleValues, sampleFlags, sampleSettings } from './sample-settings.ts';
import { weightsChoice } from './weights-flag.ts';

export const sampleCommand = defineCommand({
  name: 'sample',
  positionals: ['[MODEL]'],
  summary:
    'Sample images: a PNG each, and a grid whose path is printed last. MODEL is a model folder, a .safetensors file\n' +
    'in one, an official .pt, or a model of the Hugging Face Hub: ACDiT-XL-img, owner/repo/file. Without it, the bundled\n' +
    'model.',
  flags: sampleFlags,
  run: ({ values, positionals }, terminal) =>
    sample(modelName(positionals[0], values.ckpt), values, terminal),
});

function modelName(positional: string | undefined, ckpt: string | undefined): string {
  if (positional !== undefined && ckpt !== undefined) {
    throw new ArgumentError(`both MODEL (${positional}) and --ckpt (${ckpt}) name a model; give one of them`);
  }
  return positional ?? ckpt ?? bundledModel();
}

async function sample(name: string, values: SampleValues, terminal: Terminal): Promise<undefined> {
  const path = await modelPath(name, terminal, values.json === true);
  const started = performance.now();
  const device = openDevice(values);
  const model = await openModel(path, { weights: weightsChoice(values) });
  try {
    const settings = await sampleSettings(model.config, values, terminal);
    if (settings.vae !== undefined) await requireAutoencoder(model.config, settings.vae);
    await mkdir(settings.folder, { recursive: true });
    const results = await collect(model, settings, device, values.json === true, terminal);
    const seconds = (performance.now() - started) / 1000;
    const written = await writeResults(model.config, settings, results);
    if (values.json) {
      const report = describe(name, model.config, settings.request, results, written, seconds);
      terminal.stdout.write(`${JSON.stringify(report)}\n`);
    } else summarize(settings.request, results, written, seconds, terminal);
    terminal.signal.throwIfAborted();
  } finally {
    await model.archive.close();
  }
}

/** What makes pictures, if any are wanted. With several batches, it works while the next one is sampled. */
function openDecoder(
  config: AcditConfig,
  { decode, vae, request }: SampleSettings,
  { threads }: Device,
  signal: AbortSignal,
): Decoder | undefined {
  if (!decode) return undefined;
  if (vae === undefined) return pixelDecoder(config);
  const open = request.labels.length > request.batch ? processDecoder : localDecoder;
  return open({ config, vae, threads }, signal);
}

/** Everything that is finished. */
interface Results {
  readonly pictures: NamedImage[];
  /** Paths of the pictures. */
  readonly files: string[];
  /** One (N, T, B, C) a batch, if they are to be written. */
  readonly latents: Tensor<'float32'>[];
}

/** Samples of which there is anything. */
function finishedCount({ pictures, latents }: Results): number {
  return Math.max(pictures.length, sampleCount(latents));
}

function sampleCount(batches: readonly Tensor[]): number {
  return batches.reduce((sum, { shape }) => sum + shape[0], 0);
}

/** Sample, and write each batch's pictures as it is finished. Ends early, with what there is, when interrupted. */
async function collect(
  model: StoredModel,
  settings: SampleSettings,
  device: Device,
  quiet: boolean,
  { stderr, signal }: Terminal,
): Promise<Results> {
  const { config } = model;
  const { request, folder, latentsFile } = settings;
  const results: Results = { pictures: [], files: [], latents: [] };
  const decoder = openDecoder(config, settings, device, signal);
  const progress = startProgress({
    stream: stderr,
    total: stepCount(config, request),
    label: 'sample',
    quiet,
  });
  let steps = 0;
  const finish = async (latents: Tensor<'float32'>): Promise<void> => {
    if (latentsFile !== undefined) results.latents.push(latents);
    const images = await decoder?.decode(latents, (share) =>
      progress.update(steps, { decoded: `${Math.floor(share * 100)}%` }),
    );
    for (const image of images ? picturesOf(images) : []) {
      const index = results.pictures.length;
      const picture = { name: labelName(config, request.labels[index]), image };
      results.files.push(await writeNamed(folder, index, picture));
      results.pictures.push(picture);
    }
  };
  let finishing = Promise.resolve();
  try {
    const sampler = await createSampler({ config, weights: weightSource(model), device, signal });
    const batches = sampleBatches(sampler, request, {
      signal,
      onEvent(event, first) {
        if (event.kind !== 'step') return;
        const last = Math.min(first + request.batch, request.labels.length);
        const samples = `${first + 1}-${last}/${request.labels.length}`;
        progress.update(++steps, { samples, block: `${event.block + 1}/${config.blocks}` });
      },
    });
    for await (const latents of batches) {
      await finishing;
      // One batch is finished while the next is sampled.
      finishing = finish(latents);
      finishing.catch(() => {}); // it is waited for below
    }
    await sampler.dispose(); // makes room for decoding
    await finishing;
  } catch (error) {
    await finishing.catch(() => {});
    if (!signal.aborted || error !== signal.reason) throw error;
  } finally {
    progress.finish();
    await decoder?.close();
    await device.dispose();
  }
  return results;
}

/** Solver steps of all batches. */
function stepCount({ blocks }: AcditConfig, { steps, labels, batch }: BatchedRequest): number {
  const ofSample = typeof steps === 'number' ? steps * blocks : steps.reduce((sum, n) => sum + n, 0);
  return ofSample * Math.ceil(labels.length / batch);
}

interface Written {
  readonly grid: string | undefined;
  readonly latents: string | undefined;
}

async function writeResults(
  config: AcditConfig,
  { folder, latentsFile }: SampleSettings,
  { pictures, latents }: Results,
): Promise<Written> {
  const grid = pictures.length > 0 ? join(folder, 'grid.png') : undefined;
  if (grid) await writePng(grid, labelledGrid(pictures));
  if (latents.length === 0 || latentsFile === undefined) return { grid, latents: undefined };
  const all = new Float32Array(latents.reduce((sum, { data }) => sum + data.length, 0));
  let offset = 0;
  for (const { data } of latents) {
    all.set(data, offset);
    offset += data.length;
  }
  await mkdir(dirname(latentsFile), { recursive: true });
  const bytes = encodeNpy(float32(latentShape(config, sampleCount(latents)), all));
  await writeFileAtomically(latentsFile, (write) => write(bytes));
  return { grid, latents: latentsFile };
}

function describe(
  model: string,
  config: AcditConfig,
  { labels, steps, cfg, solver, seed }: BatchedRequest,
  results: Results,
  { grid, latents }: Written,
  seconds: number,
) {
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
    seconds,
  };
}

function summarize(
  { labels }: BatchedRequest,
  results: Results,
  { grid, latents }: Written,
  seconds: number,
  { stdout, stderr, signal }: Terminal,
): void {
  const finished = finishedCount(results);
  const what = signal.aborted
    ? `stopped after ${finished} of ${labels.length} samples`
    : `${finished} samples`;
  stderr.write(`${what} in ${formatDuration(seconds)}\n`);
  for (const path of [latents, grid]) if (path !== undefined) stdout.write(`${path}\n`);
}
