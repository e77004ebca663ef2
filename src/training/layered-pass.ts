/**
 * @file Runs the gradient graphs layer by layer: what a processor with one memory does best. One layer's intermediates
 * are held at a time, and the pass can be cancelled between layers.
 */

import { at, get } from '../at.ts';
import type { Graph } from '../graph/onnx.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { layerWeights, type Weights } from '../models/acdit/weights.ts';
import { filterKeys, mapValues } from '../records.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import {
  type ForwardAndBackward,
  type GradientGraphs,
  gradientGraphs,
  type LayerGraphs,
} from './gradient-graphs.ts';
import {
  type Activations,
  batchFeeds,
  type GradientPass,
  type GradientResult,
  type Named,
  type NoisedBatch,
  prefixed,
  recomputedLayers,
} from './gradient-pass.ts';
import { type PassTensors, passTensors } from './pass-tensors.ts';

/** Compiles the pass, layer by layer, for batches of `samples`. */
export async function compileLayeredPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  activations: Activations,
): Promise<GradientPass> {
  const graphs = gradientGraphs(config, samples);
  const { programs, dispose } = await compilePrograms(device, graphs);
  const recomputed = recomputedLayers(activations, config);
  const pass = { config, recomputed, programs, tensors: passTensors(graphs, config.layers, recomputed) };
  return { samples, run: (...args) => runPass(pass, ...args), dispose };
}

type GraphPrograms = Readonly<Record<'forward' | 'backward', Program>>;
type LayerPrograms = Readonly<Record<'before' | 'after', GraphPrograms>>;
type PassPrograms = Awaited<ReturnType<typeof compilePrograms>>['programs'];

/** Compiles the programs of all graphs. */
async function compilePrograms(device: Device, graphs: GradientGraphs) {
  const compiled: Program[] = [];
  const compile = async (graph: Graph): Promise<Program> => {
    const program = await device.compile(graph);
    compiled.push(program);
    return program;
  };
  const compileBoth = async ({ forward, backward }: ForwardAndBackward): Promise<GraphPrograms> => ({
    forward: await compile(forward),
    backward: await compile(backward),
  });
  const compileLayer = async ({ before, after }: LayerGraphs): Promise<LayerPrograms> => ({
    before: await compileBoth(before),
    after: await compileBoth(after),
  });
  const programs = {
    conditions: await compileBoth(graphs.conditions),
    embed: await compileBoth(graphs.embed),
    layer: await compileLayer(graphs.layer),
    lastLayer: await compileLayer(graphs.lastLayer),
    activation: await compileBoth(graphs.activation),
    loss: await compile(graphs.loss),
  };
  const dispose = async (): Promise<void> => {
    for (const program of compiled) await program.dispose();
  };
  return { programs, dispose };
}

interface LayeredPass {
  readonly config: AcditConfig;
  /** Layers that are computed again before their backward pass. */
  readonly recomputed: ReadonlySet<number>;
  readonly programs: PassPrograms;
  readonly tensors: PassTensors;
}

async function runPass(
  pass: LayeredPass,
  weights: Weights,
  batch: NoisedBatch,
  gradients: Weights,
  signal?: AbortSignal,
): Promise<GradientResult> {
  const { conditions, embed, loss } = pass.programs;
  const { embedding, layers, loss: lossTensors } = pass.tensors;
  const given = {
    ...batchFeeds(pass.config, batch),
    ...Object.fromEntries(weights),
    ...prefixed(Object.fromEntries(gradients)),
  };
  await run(conditions.forward, { ...given, ...embedding });
  await run(embed.forward, { ...given, ...embedding });
  for (const index of layers.keys()) {
    signal?.throwIfAborted();
    await forwardLayer(pass, index, weights);
  }
  const result = await run(loss, { ...given, ...lossTensors });
  for (const index of [...layers.keys()].reverse()) {
    signal?.throwIfAborted();
    await backwardLayer(pass, index, weights, gradients);
  }
  await run(embed.backward, { ...given, ...embedding });
  await run(conditions.backward, { ...given, ...embedding });
  return { loss: Number(get(result, 'loss').data[0]), prediction: get(lossTensors, 'prediction') };
}

function isLast({ config }: LayeredPass, index: number): boolean {
  return index === config.layers - 1;
}

async function forwardLayer(pass: LayeredPass, index: number, weights: Weights): Promise<void> {
  const { layer, lastLayer, activation } = pass.programs;
  const { before, after } = isLast(pass, index) ? lastLayer : layer;
  const tensors = { ...at(pass.tensors.layers, index), ...layerWeights(weights, index) };
  await run(before.forward, tensors);
  await runInPieces(activation.forward, tensors, PIECE);
  await run(after.forward, tensors);
}

async function backwardLayer(
  pass: LayeredPass,
  index: number,
  weights: Weights,
  gradients: Weights,
): Promise<void> {
  if (pass.recomputed.has(index)) await forwardLayer(pass, index, weights);
  const { layer, lastLayer, activation } = pass.programs;
  const { before, after } = isLast(pass, index) ? lastLayer : layer;
  const tensors = {
    ...at(pass.tensors.layers, index),
    ...layerWeights(weights, index),
    ...prefixed(layerWeights(gradients, index)),
  };
  await run(after.backward, tensors);
  await runInPieces(activation.backward, tensors);
  await run(before.backward, tensors);
  addInto(get(pass.tensors.embedding, 'd.condition'), get(tensors, 'd.condition'));
}

/** Runs a program whose inputs are among some tensors, and fills those of its outputs that are. */
function run(program: Program, tensors: Feeds): Promise<Record<string, Tensor>> {
  return program.run(pick(tensors, program.inputNames), pick(tensors, program.outputNames));
}

/**
 * Elements of a run of the activation: few enough for the dozen passes of its slope to stay in the processor's cache,
 * enough to be worth a run.
 */
const PIECE = 589824;

/** {@link run} of a program of elementwise operators, `piece` elements at a time. */
async function runInPieces(program: Program, tensors: Named, piece = Infinity): Promise<void> {
  const all = pick(tensors, [...program.inputNames, ...program.outputNames]);
  const { length } = get(all, at(program.inputNames, 0)).data;
  for (let start = 0; start < length; start += piece) {
    const end = Math.min(start + piece, length);
    const pieces = mapValues(all, ({ data }) => float32([end - start], data.subarray(start, end)));
    await run(program, pieces);
  }
}

/** Those of some tensors that have the given names. */
function pick<Value>(tensors: Readonly<Record<string, Value>>, names: readonly string[]) {
  return filterKeys(tensors, (name) => names.includes(name));
}

function addInto({ data: sum }: Tensor<'float32'>, { data: part }: Tensor<'float32'>): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + part[i]!;
}
