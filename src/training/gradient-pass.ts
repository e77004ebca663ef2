/** @file Running the gradient graphs: weights and a noised batch in, loss and gradients out. */

import type { DifferentiableStage, SavePolicy } from '../graph/partition.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/timestep.ts';
import { CONDITION_WEIGHTS, layerWeights, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { elementCount, float32, type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { cleanBlocks, FINAL_WEIGHTS, gradientGraphs } from './gradient-graphs.ts';

/** Noised blocks and what was added to them. All (N, T, B, C) but the timesteps (N, T) and labels (N). */
export interface NoisedBatch {
  readonly clean: Tensor<'float32'>;
  readonly noised: Tensor<'float32'>;
  readonly noise: Tensor<'float32'>;
  readonly timesteps: ArrayLike<number>;
  /** `classes` stands for a dropped label. */
  readonly labels: ArrayLike<number>;
}

export interface GradientResult {
  readonly loss: number;
  /** Predicted noise (N, T, B, C), valid until the next run. */
  readonly prediction: Tensor<'float32'>;
}

export interface GradientPass {
  readonly samples: number;
  /** Fills `gradients`, which has the names and shapes of `weights`. */
  run(
    weights: Weights,
    batch: NoisedBatch,
    gradients: Weights,
    signal?: AbortSignal,
  ): Promise<GradientResult>;
  dispose(): Promise<void>;
}

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
function savedRoom({ stage }: StagePrograms): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(
    stage.saved.map(({ shape }, i) => [`saved.${i}`, zeros('float32', shape.map(Number))]),
  );
}

function pick(feeds: Feeds, names: readonly string[]): Feeds {
  return Object.fromEntries(names.map((name) => [name, feeds[name]]));
}

/**
 * Compile the pass for batches of `samples`.
 * @param policy what the forward pass saves: `products` is fastest, `nothing` takes the least memory.
 */
export async function compileGradientPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  policy: SavePolicy = 'products',
): Promise<GradientPass> {
  const { layers, blocks, blockSize, hidden } = config;
  const clean = cleanBlocks(config);
  const graphs = gradientGraphs(config, samples, policy);
  const conditionStage = await compileStage(device, graphs.conditions);
  const embed = await compileStage(device, graphs.embed);
  const layer = await compileStage(device, graphs.layer);
  const lastLayer = await compileStage(device, graphs.lastLayer);
  const loss = await device.compile(graphs.loss);

  const stageOf = (index: number): StagePrograms => (index === layers - 1 ? lastLayer : layer);
  const streamShape = [samples, clean + blocks, blockSize, hidden];
  const noisedShape = [samples, blocks, blockSize, hidden];
  /** What enters each layer; the last entry is what leaves the last layer. */
  const streams = Array.from({ length: layers + 1 }, (_, i) =>
    zeros('float32', i < layers ? streamShape : noisedShape),
  );
  const saved = Array.from({ length: layers }, (_, i) => savedRoom(stageOf(i)));
  const savedCondition = savedRoom(conditionStage);
  const savedEmbed = savedRoom(embed);
  const condition = zeros('float32', [samples * blocks, hidden]);
  const conditionGradient = zeros('float32', condition.shape);
  const conditionGradientPart = zeros('float32', condition.shape);
  const noisedGradient = zeros('float32', noisedShape);
  // A layer reads one and writes the other.
  const streamGradients = [zeros('float32', streamShape), zeros('float32', streamShape)];
  const prediction = zeros('float32', [samples, blocks, blockSize, tokenSize(config)]);

  async function forward(weights: Weights, batch: NoisedBatch, signal?: AbortSignal): Promise<Feeds> {
    const conditionFeeds: Feeds = {
      features: timestepFeatures(batch.timesteps),
      labels: repeatLabels(batch.labels, blocks),
      ...named(weights, CONDITION_WEIGHTS),
    };
    await conditionStage.forward.run(conditionFeeds, { result: condition, ...savedCondition });
    const tokens = joinStream(batch, clean, blocks);
    const embedFeeds: Feeds = { tokens, ...named(weights, ['x_embedder.weight']) };
    await embed.forward.run(embedFeeds, { result: streams[0], ...savedEmbed });
    for (let i = 0; i < layers; i++) {
      signal?.throwIfAborted();
      const feeds = { blocks: streams[i], condition, ...layerWeights(weights, i) };
      await stageOf(i).forward.run(feeds, { result: streams[i + 1], ...saved[i] });
    }
    return { ...conditionFeeds, tokens };
  }

  async function backward(
    weights: Weights,
    gradients: Weights,
    feeds: Feeds,
    signal?: AbortSignal,
  ): Promise<void> {
    for (let i = layers - 1; i >= 0; i--) {
      signal?.throwIfAborted();
      const incoming = i === layers - 1 ? noisedGradient : streamGradients[(i + 1) % 2];
      const available = {
        blocks: streams[i],
        condition,
        'd.result': incoming,
        ...layerWeights(weights, i),
        ...saved[i],
      };
      const { backward: program } = stageOf(i);
      await program.run(pick(available, program.inputNames), {
        'd.blocks': streamGradients[i % 2],
        'd.condition': conditionGradientPart,
        ...prefixed(layerWeights(gradients, i)),
      });
      addInto(conditionGradient.data, conditionGradientPart.data);
    }
    const embedFeeds = {
      ...feeds,
      ...named(weights, ['x_embedder.weight']),
      ...savedEmbed,
      'd.result': streamGradients[0],
    };
    await embed.backward.run(
      pick(embedFeeds, embed.backward.inputNames),
      prefixed(named(gradients, ['x_embedder.weight'])),
    );
    const conditionFeeds = { ...feeds, ...savedCondition, 'd.result': conditionGradient };
    await conditionStage.backward.run(
      pick(conditionFeeds, conditionStage.backward.inputNames),
      prefixed(named(gradients, CONDITION_WEIGHTS)),
    );
  }

  return {
    samples,
    async run(weights, batch, gradients, signal) {
      const feeds = await forward(weights, batch, signal);
      const results = await loss.run(
        { blocks: streams[layers], condition, noise: batch.noise, ...named(weights, FINAL_WEIGHTS) },
        {
          prediction,
          'd.blocks': noisedGradient,
          'd.condition': conditionGradient,
          ...prefixed(named(gradients, FINAL_WEIGHTS)),
        },
      );
      await backward(weights, gradients, feeds, signal);
      return { loss: Number(results.loss.data[0]), prediction };
    },
    async dispose() {
      const stages = [conditionStage, embed, layer, lastLayer];
      for (const { forward, backward } of stages) {
        await forward.dispose();
        await backward.dispose();
      }
      await loss.dispose();
    },
  };
}

function named(weights: Weights, names: readonly string[]): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(names.map((name) => [name, weights.get(name)!]));
}

/** Gradient outputs are named after what they are the gradient of. */
function prefixed(tensors: Feeds): Feeds {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [`d.${name}`, value]));
}

function repeatLabels(labels: ArrayLike<number>, times: number): Tensor<'int64'> {
  const out = new BigInt64Array(labels.length * times);
  for (let i = 0; i < out.length; i++) out[i] = BigInt(labels[Math.floor(i / times)]);
  return tensor('int64', [out.length], out);
}

/** The clean blocks that are attended, then all noised ones, for each sample: (N, G, B, C). */
function joinStream(batch: NoisedBatch, clean: number, blocks: number): Tensor<'float32'> {
  const [samples, , ...inner] = batch.noised.shape;
  const size = elementCount(inner);
  const out = new Float32Array(samples * (clean + blocks) * size);
  for (let n = 0; n < samples; n++) {
    const start = n * (clean + blocks) * size;
    const from = n * blocks * size;
    out.set(batch.clean.data.subarray(from, from + clean * size), start);
    out.set(batch.noised.data.subarray(from, from + blocks * size), start + clean * size);
  }
  return float32([samples, clean + blocks, ...inner], out);
}

function addInto(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += part[i];
}
