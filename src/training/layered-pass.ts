/**
 * @file Running the gradient graphs layer by layer: what a processor with one memory does best. One layer's intermediates
 * are held at a time, and the pass can be cancelled between layers.
 */

import type { DifferentiableStage } from '../graph/partition.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { CONDITION_WEIGHTS, layerWeights, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { elementCount, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { cleanBlocks, FINAL_WEIGHTS, gradientGraphs, type LayerStages } from './gradient-graphs.ts';
import type { Activations, GradientPass, NoisedBatch } from './gradient-pass.ts';
import { batchFeeds, lossFeeds, type Named, named, prefixed } from './pass-feeds.ts';

/** A stage's two programs. */
interface StagePrograms {
  readonly forward: Program;
  readonly backward: Program;
  readonly stage: DifferentiableStage;
}

async function compileStage(device: Device, stage: DifferentiableStage): Promise<StagePrograms> {
  return {
    stage,
    forward: await device.compile(stage.forward),
    backward: await device.compile(stage.backward),
  };
}

/** Room for what a forward program saves, reused by every step: fresh memory would cost a page fault each 4 KB. */
function savedRoom({ stage }: StagePrograms): Named {
  return Object.fromEntries(
    stage.saved.map(({ shape }, i) => [`saved.${i}`, zeros('float32', shape.map(Number))]),
  );
}

/** The programs of a layer. */
interface LayerPrograms {
  readonly widen: StagePrograms;
  readonly narrow: StagePrograms;
}

/** What a layer's forward pass leaves for its backward pass. */
interface LayerRoom {
  readonly activated: Tensor<'float32'>;
  /** The activation's slope. */
  readonly activation: Named;
  readonly gate: Tensor<'float32'>;
  readonly widen: Named;
  readonly narrow: Named;
}

function layerRoom({ widen, narrow }: LayerPrograms, activation: StagePrograms): LayerRoom {
  const { wide, gate } = widen.stage.forward.outputs;
  const wideShape = wide.shape.map(Number);
  const ofWideShape = activation.stage.saved.map((_, i) => [`saved.${i}`, zeros('float32', wideShape)]);
  return {
    activated: zeros('float32', wideShape),
    activation: Object.fromEntries(ofWideShape),
    gate: zeros('float32', gate.shape.map(Number)),
    widen: savedRoom(widen),
    narrow: savedRoom(narrow),
  };
}

/**
 * Elements of a run of the activation: few enough for the dozen passes of its slope to stay in the processor's cache,
 * enough to be worth a run.
 */
const PIECE = 294912;

/** Run a program on tensors of one size as vectors, `piece` elements at a time. */
async function runFlat(program: Program, feeds: Named, into: Named, piece = Infinity): Promise<void> {
  const [{ data }] = Object.values(feeds);
  for (let start = 0; start < data.length; start += piece) {
    const end = Math.min(start + piece, data.length);
    const views = (tensors: Named): Named =>
      mapValues(tensors, ({ data }) => float32([end - start], data.subarray(start, end)));
    await program.run(views(feeds), views(into));
  }
}

function mapValues(tensors: Named, change: (value: Tensor<'float32'>) => Tensor<'float32'>): Named {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [name, change(value)]));
}

/** Those of `available` that a program takes. */
function feedsFor({ inputNames }: Program, available: Feeds): Feeds {
  return Object.fromEntries(inputNames.map((name) => [name, available[name]]));
}

/** Compile the pass, layer by layer, for batches of `samples`. */
export async function compileLayeredPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  activations: Activations,
): Promise<GradientPass> {
  const { layers, blocks, blockSize, hidden, mlpRatio } = config;
  const clean = cleanBlocks(config);
  const graphs = gradientGraphs(config, samples);
  const compileLayer = async ({ widen, narrow }: LayerStages): Promise<LayerPrograms> => ({
    widen: await compileStage(device, widen),
    narrow: await compileStage(device, narrow),
  });
  const conditionStage = await compileStage(device, graphs.conditions);
  const embed = await compileStage(device, graphs.embed);
  const layer = await compileLayer(graphs.layer);
  const lastLayer = await compileLayer(graphs.lastLayer);
  const activation = await compileStage(device, graphs.activation);
  const loss = await device.compile(graphs.loss);

  const programsOf = (index: number): LayerPrograms => (index === layers - 1 ? lastLayer : layer);
  const streamShape = [samples, clean + blocks, blockSize, hidden];
  const noisedShape = [samples, blocks, blockSize, hidden];
  const wideShape = [samples * (clean + blocks) * blockSize, mlpRatio * hidden];
  /** What enters each layer; the last entry is what leaves the last layer. */
  const streams = Array.from({ length: layers + 1 }, (_, i) =>
    zeros('float32', i < layers ? streamShape : noisedShape),
  );
  const roomOf = (programs: LayerPrograms): LayerRoom => layerRoom(programs, activation);
  const sharedRoom = activations === 'recompute' ? roomOf(layer) : undefined;
  const lastRoom = roomOf(lastLayer);
  const rooms = Array.from({ length: layers }, (_, i) =>
    i === layers - 1 ? lastRoom : (sharedRoom ?? roomOf(layer)),
  );
  const savedCondition = savedRoom(conditionStage);
  const savedEmbed = savedRoom(embed);
  const condition = zeros('float32', [samples * blocks, hidden]);
  const conditionGradient = zeros('float32', condition.shape);
  const conditionGradientPart = zeros('float32', condition.shape);
  const prediction = zeros('float32', [samples, blocks, blockSize, tokenSize(config)]);

  /** What only one layer at a time needs; the last one has fewer blocks and takes the front. */
  const scratch = {
    middle: zeros('float32', streamShape),
    wide: zeros('float32', wideShape),
    wideGradient: zeros('float32', wideShape),
    gateGradient: zeros('float32', [samples, clean + blocks, 1, hidden]),
    // A layer reads one and writes the other.
    streamGradients: [zeros('float32', streamShape), zeros('float32', streamShape)],
    noisedGradient: zeros('float32', noisedShape),
  };
  const partOf = (whole: Tensor<'float32'>, index: number): Tensor<'float32'> =>
    index < layers - 1 ? whole : front(whole, [samples, blocks, ...whole.shape.slice(2)]);

  async function runLayer(index: number, weights: Weights, into: Tensor<'float32'>): Promise<void> {
    const { widen, narrow } = programsOf(index);
    const room = rooms[index];
    const middle = partOf(scratch.middle, index);
    const wide = front(scratch.wide, room.activated.shape);
    const available = {
      blocks: streams[index],
      condition,
      middle,
      activated: room.activated,
      gate: room.gate,
      ...layerWeights(weights, index),
    };
    await widen.forward.run(feedsFor(widen.forward, available), {
      middle,
      wide,
      gate: room.gate,
      ...room.widen,
    });
    await runFlat(activation.forward, { wide }, { activated: room.activated, ...room.activation }, PIECE);
    await narrow.forward.run(feedsFor(narrow.forward, available), { result: into, ...room.narrow });
  }

  async function forward(weights: Weights, batch: NoisedBatch, signal?: AbortSignal): Promise<Feeds> {
    const { features, labels, tokens } = batchFeeds(config, batch);
    const conditionFeeds: Feeds = { features, labels, ...named(weights, CONDITION_WEIGHTS) };
    await conditionStage.forward.run(conditionFeeds, { result: condition, ...savedCondition });
    const embedFeeds: Feeds = { tokens, ...named(weights, ['x_embedder.weight']) };
    await embed.forward.run(embedFeeds, { result: streams[0], ...savedEmbed });
    for (let i = 0; i < layers; i++) {
      signal?.throwIfAborted();
      await runLayer(i, weights, streams[i + 1]);
    }
    return { ...conditionFeeds, tokens };
  }

  async function backLayer(index: number, weights: Weights, gradients: Weights): Promise<void> {
    const { widen, narrow } = programsOf(index);
    const room = rooms[index];
    const isLast = index === layers - 1;
    const incoming = isLast ? scratch.noisedGradient : scratch.streamGradients[(index + 1) % 2];
    const wideGradient = front(scratch.wideGradient, room.activated.shape);
    const gateGradient = partOf(scratch.gateGradient, index);
    // The last layer's activations are still there.
    if (activations === 'recompute' && !isLast) await runLayer(index, weights, streams[index + 1]);
    const available = {
      blocks: streams[index],
      condition,
      activated: room.activated,
      gate: room.gate,
      ...layerWeights(weights, index),
    };
    const into = prefixed(layerWeights(gradients, index));
    const intoOf = ({ outputNames }: Program, own: Named): Named =>
      Object.fromEntries(outputNames.map((name) => [name, own[name] ?? into[name]]));
    await narrow.backward.run(
      feedsFor(narrow.backward, { ...available, ...room.narrow, 'd.result': incoming }),
      intoOf(narrow.backward, { 'd.activated': wideGradient, 'd.gate': gateGradient }),
    );
    // In place: the incoming gradient is a factor of the last product.
    await runFlat(
      activation.backward,
      { ...room.activation, 'd.activated': wideGradient },
      { 'd.wide': wideGradient },
    );
    await widen.backward.run(
      feedsFor(widen.backward, {
        ...available,
        ...room.widen,
        'd.middle': incoming,
        'd.wide': wideGradient,
        'd.gate': gateGradient,
      }),
      intoOf(widen.backward, {
        'd.blocks': scratch.streamGradients[index % 2],
        'd.condition': conditionGradientPart,
      }),
    );
    addInto(conditionGradient.data, conditionGradientPart.data);
  }

  async function backward(
    weights: Weights,
    gradients: Weights,
    feeds: Feeds,
    signal?: AbortSignal,
  ): Promise<void> {
    for (let i = layers - 1; i >= 0; i--) {
      signal?.throwIfAborted();
      await backLayer(i, weights, gradients);
    }
    const embedFeeds = {
      ...feeds,
      ...named(weights, ['x_embedder.weight']),
      ...savedEmbed,
      'd.result': scratch.streamGradients[0],
    };
    await embed.backward.run(
      feedsFor(embed.backward, embedFeeds),
      prefixed(named(gradients, ['x_embedder.weight'])),
    );
    const conditionFeeds = { ...feeds, ...savedCondition, 'd.result': conditionGradient };
    await conditionStage.backward.run(
      feedsFor(conditionStage.backward, conditionFeeds),
      prefixed(named(gradients, CONDITION_WEIGHTS)),
    );
  }

  return {
    samples,
    async run(weights, batch, gradients, signal) {
      const feeds = await forward(weights, batch, signal);
      const results = await loss.run(
        {
          blocks: streams[layers],
          condition,
          ...lossFeeds(config, batch),
          ...named(weights, FINAL_WEIGHTS),
        },
        {
          prediction,
          'd.blocks': scratch.noisedGradient,
          'd.condition': conditionGradient,
          ...prefixed(named(gradients, FINAL_WEIGHTS)),
        },
      );
      await backward(weights, gradients, feeds, signal);
      return { loss: Number(results.loss.data[0]), prediction };
    },
    async dispose() {
      const layerStages = [layer, lastLayer].flatMap(({ widen, narrow }) => [widen, narrow]);
      for (const { forward, backward } of [conditionStage, embed, activation, ...layerStages]) {
        await forward.dispose();
        await backward.dispose();
      }
      await loss.dispose();
    },
  };
}

/** The beginning of a tensor's memory as a smaller tensor. */
function front({ data }: Tensor<'float32'>, shape: readonly number[]): Tensor<'float32'> {
  return float32(shape, data.subarray(0, elementCount(shape)));
}

function addInto(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += part[i];
}
