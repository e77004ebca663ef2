/**
 * @file Sampling without a cache, for comparison: each denoising step runs all finished blocks and the noised one as one
 * sequence, in every guidance branch. The samples are those of the sampler.
 */

import { at, take } from '../../src/at.ts';
import { guide } from '../../src/diffusion/guidance.ts';
import { linearNoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import { type Graph, graphOf } from '../../src/graph/onnx.ts';
import { concat, expand, reshape } from '../../src/graph/operators/index.ts';
import { constant, input, inputName, type SymbolicTensor } from '../../src/graph/symbolic.ts';
import { blockCausal, compilePlan } from '../../src/models/acdit/attention-plan.ts';
import { type AcditConfig, tokenSize } from '../../src/models/acdit/config.ts';
import { appendCost, conditionCost, stepCost } from '../../src/models/acdit/cost.ts';
import { ropeTables, signedTables } from '../../src/models/acdit/rope.ts';
import {
  cleanModulation,
  conditions,
  feedForwardInPieces,
  finalModulations,
  layerModulations,
  planAttention,
  predictNoise,
  timestepFeatures,
} from '../../src/models/acdit/transformer.ts';
import {
  isWeight,
  modelInputs,
  rowsOf,
  TIMESTEP_FEATURES,
  type Weights,
  weightViews,
} from '../../src/models/acdit/weights.ts';
import type { Device } from '../../src/runtime/device.ts';
import { createBlockSteps } from '../../src/sampling/block-steps.ts';
import {
  blockOf,
  planSampling,
  type SampleRequest,
  solverNoise,
  stackBlocks,
  startingNoise,
} from '../../src/sampling/request.ts';
import { joinAxis } from '../../src/tensor/axes.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';

/** Latents (N, T, B, C) for a request with guidance. */
export async function sampleWithoutCache(
  device: Device,
  config: AcditConfig,
  weights: Weights,
  request: SampleRequest,
): Promise<Tensor<'float32'>> {
  const plan = planSampling(config, request);
  const samples = plan.labels.length;
  const rows = 2 * samples;
  const [starting, drawn] = [startingNoise(config, plan), solverNoise(plan)];
  const stepsOf = createBlockSteps(linearNoiseSchedule(), plan);
  const finished: Tensor<'float32'>[] = [];
  for (let block = 0; block < config.blocks; block++) {
    const graph = sequenceGraph(config, rows, block + 1);
    const program = await device.compile(graph, boundWeights(graph, weights));
    const { solver } = stepsOf(block);
    const own = plan.labels.map((ofBlocks) => at(ofBlocks, block));
    const classes = [...own, ...Array<number>(samples).fill(config.classes)];
    const labels = tensor('int64', [rows], BigInt64Array.from(classes, BigInt));
    let latents = blockOf(starting, block);
    let state = solver.initialState();
    for (const [index, timestep] of solver.timesteps.entries()) {
      const features = timestepFeatures(Array<number>(rows).fill(timestep));
      const sequence = stackBlocks([...finished, latents]);
      const tokens = joinAxis([sequence, sequence], 0) as Tensor<'float32'>;
      const { data } = (await program.run({ tokens, features, labels })).noise as Tensor<'float32'>;
      const halves = [data.subarray(0, data.length / 2), data.subarray(data.length / 2)] as const;
      const noise = guide(...halves, at(plan.guidance.scale, block));
      const next = solver.step(index, latents.data, noise, state, drawn);
      latents = float32(latents.shape, next.x);
      state = next.state;
    }
    await program.dispose();
    finished.push(latents);
  }
  return stackBlocks(finished);
}

/** Predicted noise (N, B, C) of the last block of (N, T', B, C); those before it are clean. */
function sequenceGraph(config: AcditConfig, rows: number, blocks: number): Graph {
  const { blockSize, layers } = config;
  const clean = blocks - 1;
  const weights = modelInputs(config);
  const tokens = input('tokens', [rows, blocks, blockSize, tokenSize(config)]);
  const features = input('features', [rows, TIMESTEP_FEATURES]);
  const labels = input('labels', [rows], 'int64');
  const condition = conditions(weights.embedder, features, labels);
  const tables = signedTables(ropeTables(config));
  const positions = (table: Tensor<'float32'>): SymbolicTensor =>
    constant(rowsOf(table, 0, blocks * blockSize));
  const noise = predictNoise(
    weights,
    tokens,
    {
      layers: weights.layers.map((layer) => withClean(clean, oneBlock(layerModulations(layer, condition)))),
      final: oneBlock(finalModulations(weights.final, condition)),
    },
    { cos: positions(tables.cos), sin: positions(tables.sin) },
    (layer) => {
      // Nothing reads clean blocks after the last layer.
      const firstQuery = layer === layers - 1 ? clean : 0;
      const plan = compilePlan(blocks, blockSize, blockCausal, { firstQuery });
      return { attend: planAttention(plan), feedForward: feedForwardInPieces, firstQuery };
    },
  );
  return graphOf({ noise: reshape(noise, [rows, blockSize, tokenSize(config)]) });
}

/** Reshapes vectors (N, count, C) to those of one block (N, 1, count, C). */
function oneBlock(vectors: SymbolicTensor): SymbolicTensor {
  const [rows, count, hidden] = take(vectors.shape, 3);
  return reshape(vectors, [rows, 1, count, hidden]);
}

/** Modulations (N, 1, 6, C) of a noised block, after those of the clean ones. */
function withClean(clean: number, noised: SymbolicTensor): SymbolicTensor {
  if (clean === 0) return noised;
  const [rows, , ...vectors] = take(noised.shape, 2);
  return concat([expand(cleanModulation(), [rows, clean, ...vectors]), noised], 1);
}

function boundWeights(graph: Graph, weights: Weights): Record<string, Tensor<'float32'>> {
  return weightViews(weights, graph.inputs.map(inputName).filter(isWeight));
}

/** Multiply-adds of one guided sample: each step computes the keys and values of finished blocks again. */
export function costWithoutCache(config: AcditConfig, steps: number): number {
  const { blocks, blockSize, hidden } = config;
  let [finished, cost] = [0, 0];
  for (let block = 0; block < blocks; block++) {
    cost += 2 * steps * (finished + stepCost(config, block) + conditionCost(config));
    finished += appendCost(config, block) - blockSize * hidden ** 2; // no queries in the last layer
  }
  return cost;
}
