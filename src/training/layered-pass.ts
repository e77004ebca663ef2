/**
 * @file Runs the gradient graphs layer by layer: what a processor with one memory does best. One layer's intermediates
 * are held at a time, and the pass can be cancelled between layers.
 */

import { at, get } from '../at.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { layerWeights, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type ForwardAndBackward, gradientGraphs, type LayerGraphs } from './gradient-graphs.ts';
import type { Activations, GradientPass, GradientResult, NoisedBatch } from './gradient-pass.ts';
import { batchFeeds, type Named, prefixed } from './pass-feeds.ts';
import { type PassTensors, passTensors } from './pass-tensors.ts';

/** Compiles the pass, layer by layer, for batches of `samples`. */
export async function compileLayeredPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  activations: Activations,
): Promise<GradientPass> {
  const graphs = gradientGraphs(config, samples);
  const compile = async ({ forward, backward }: ForwardAndBackward): Promise<GraphPrograms> => ({
    forward: await device.compile(forward),
    backward: await device.compile(backward),
  });
  const compileLayer = async ({ before, after }: LayerGraphs): Promise<LayerPrograms> => ({
    before: await compile(before),
    after: await compile(after),
  });
  const programs = {
    conditions: await compile(graphs.conditions),
    embed: await compile(graphs.embed),
    layer: await compileLayer(graphs.layer),
    lastLayer: await compileLayer(graphs.lastLayer),
    activation: await compile(graphs.activation),
    loss: await device.compile(graphs.loss),
  };
  return new LayeredPass(
    config,
    samples,
    activations,
    programs,
    passTensors(graphs, config.layers, activations),
  );
}

interface GraphPrograms {
  readonly forward: Program;
  readonly backward: Program;
}

interface LayerPrograms {
  readonly before: GraphPrograms;
  readonly after: GraphPrograms;
}

/** The programs of `GradientGraphs`. */
interface PassPrograms {
  readonly conditions: GraphPrograms;
  readonly embed: GraphPrograms;
  readonly layer: LayerPrograms;
  readonly lastLayer: LayerPrograms;
  readonly activation: GraphPrograms;
  readonly loss: Program;
}

class LayeredPass implements GradientPass {
  readonly samples: number;
  readonly #config: AcditConfig;
  readonly #activations: Activations;
  readonly #programs: PassPrograms;
  readonly #tensors: PassTensors;

  constructor(
    config: AcditConfig,
    samples: number,
    activations: Activations,
    programs: PassPrograms,
    tensors: PassTensors,
  ) {
    this.#config = config;
    this.samples = samples;
    this.#activations = activations;
    this.#programs = programs;
    this.#tensors = tensors;
  }

  async run(
    weights: Weights,
    batch: NoisedBatch,
    gradients: Weights,
    signal?: AbortSignal,
  ): Promise<GradientResult> {
    const { conditions, embed, loss } = this.#programs;
    const { embedding, layers, loss: lossTensors } = this.#tensors;
    const given = {
      ...batchFeeds(this.#config, batch),
      ...Object.fromEntries(weights),
      ...prefixed(Object.fromEntries(gradients)),
    };
    await run(conditions.forward, { ...given, ...embedding });
    await run(embed.forward, { ...given, ...embedding });
    for (const index of layers.keys()) {
      signal?.throwIfAborted();
      await this.#forwardLayer(index, weights);
    }
    const result = await run(loss, { ...given, ...lossTensors });
    for (const index of [...layers.keys()].reverse()) {
      signal?.throwIfAborted();
      await this.#backwardLayer(index, weights, gradients);
    }
    await run(embed.backward, { ...given, ...embedding });
    await run(conditions.backward, { ...given, ...embedding });
    return { loss: Number(get(result, 'loss').data[0]), prediction: get(lossTensors, 'prediction') };
  }

  async #forwardLayer(index: number, weights: Weights): Promise<void> {
    const { before, after } = this.#layerPrograms(index);
    const tensors = { ...at(this.#tensors.layers, index), ...layerWeights(weights, index) };
    await run(before.forward, tensors);
    await runInPieces(this.#programs.activation.forward, tensors, PIECE);
    await run(after.forward, tensors);
  }

  async #backwardLayer(index: number, weights: Weights, gradients: Weights): Promise<void> {
    // What the last layer left is still there.
    if (this.#activations === 'recompute' && !this.#isLast(index)) await this.#forwardLayer(index, weights);
    const { before, after } = this.#layerPrograms(index);
    const tensors = {
      ...at(this.#tensors.layers, index),
      ...layerWeights(weights, index),
      ...prefixed(layerWeights(gradients, index)),
    };
    await run(after.backward, tensors);
    await runInPieces(this.#programs.activation.backward, tensors);
    await run(before.backward, tensors);
    addInto(get(this.#tensors.embedding, 'd.condition'), get(tensors, 'd.condition'));
  }

  #layerPrograms(index: number): LayerPrograms {
    return this.#isLast(index) ? this.#programs.lastLayer : this.#programs.layer;
  }

  #isLast(index: number): boolean {
    return index === this.#config.layers - 1;
  }

  async dispose(): Promise<void> {
    const { conditions, embed, layer, lastLayer, activation, loss } = this.#programs;
    const graphs = [
      conditions,
      embed,
      activation,
      layer.before,
      layer.after,
      lastLayer.before,
      lastLayer.after,
    ];
    for (const { forward, backward } of graphs) {
      await forward.dispose();
      await backward.dispose();
    }
    await loss.dispose();
  }
}

/** Runs a program whose inputs are among some tensors, and fills those of its outputs that are. */
function run(program: Program, tensors: Feeds): Promise<Record<string, Tensor>> {
  return program.run(pick(tensors, program.inputNames), pick(tensors, program.outputNames));
}

/**
 * Elements of a run of the activation: few enough for the dozen passes of its slope to stay in the processor's cache,
 * enough to be worth a run.
 */
const PIECE = 294912;

/** {@link run} of a program of elementwise operators, `piece` elements at a time. */
async function runInPieces(program: Program, tensors: Named, piece = Infinity): Promise<void> {
  const all = pick(tensors, [...program.inputNames, ...program.outputNames]);
  const { length } = get(all, at(program.inputNames, 0)).data;
  for (let start = 0; start < length; start += piece) {
    const end = Math.min(start + piece, length);
    const views = Object.entries(all).map(([name, { data }]) => [
      name,
      float32([end - start], data.subarray(start, end)),
    ]);
    await run(program, Object.fromEntries(views));
  }
}

/** Those of some tensors that have the given names. */
function pick<Value>(
  tensors: Readonly<Record<string, Value>>,
  names: readonly string[],
): Record<string, Value> {
  const known = names.filter((name) => Object.hasOwn(tensors, name));
  return Object.fromEntries(known.map((name) => [name, get(tensors, name)]));
}

function addInto({ data: sum }: Tensor<'float32'>, { data: part }: Tensor<'float32'>): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + part[i]!;
}
