/**
 * @file Sampling without a cache, to compare with: each denoising step runs all finished blocks and the noised one as one
 * sequence, in every guidance branch. The samples are those of the sampler.
 */

import { guide } from '../../src/diffusion/guidance.ts';
import { linearNoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import { createSolver } from '../../src/diffusion/solvers/index.ts';
import type { Graph } from '../../src/graph/onnx.ts';
import { concat, expand, linear, reshape } from '../../src/graph/operators/index.ts';
import { constant, input, type SymbolicTensor } from '../../src/graph/symbolic.ts';
import { blockCausal, compilePlan } from '../../src/models/acdit/attention-plan.ts';
import { type AcditConfig, tokenSize } from '../../src/models/acdit/config.ts';
import { appendCost, conditionCost, stepCost } from '../../src/models/acdit/cost.ts';
import { ropeTables, signedTables } from '../../src/models/acdit/rope.ts';
import { timestepFeatures } from '../../src/models/acdit/timestep.ts';
import {
  cleanModulation,
  conditions,
  finalLayer,
  modulations,
  planAttention,
  transformerLayer,
  weightInputs,
} from '../../src/models/acdit/transformer.ts';
import {
  CONDITION_WEIGHTS,
  LAYER_MODULATIONS,
  layerWeightShapes,
  layerWeights,
  rowsOf,
  TIMESTEP_FEATURES,
  type Weights,
} from '../../src/models/acdit/weights.ts';
import type { Device } from '../../src/runtime/device.ts';
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

const FINAL_WEIGHTS = ['norm_final.weight', 'linear.weight', 'linear.bias'].map(
  (name) => `final_layer.${name}`,
);
const FINAL_MODULATION = ['weight', 'bias'].map((name) => `final_layer.adaLN_modulation.1.${name}`);

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
  const finished: Tensor<'float32'>[] = [];
  for (let block = 0; block < config.blocks; block++) {
    const graph = sequenceGraph(config, rows, block + 1);
    const program = await device.compile(graph, boundWeights(config, weights));
    const solver = createSolver(plan.solver, linearNoiseSchedule(), plan.steps[block]);
    const own = plan.labels.map((ofBlocks) => ofBlocks[block]);
    const classes = [...own, ...Array<number>(samples).fill(config.classes)];
    const labels = tensor('int64', [rows], BigInt64Array.from(classes, BigInt));
    let latents = blockOf(starting, block);
    let state = solver.initialState();
    for (const [index, timestep] of solver.timesteps.entries()) {
      const features = timestepFeatures(Array<number>(rows).fill(timestep));
      const sequence = stackBlocks([...finished, latents]);
      const tokens = joinAxis([sequence, sequence], 0) as Tensor<'float32'>;
      const { data } = (await program.run({ tokens, features, labels })).noise as Tensor<'float32'>;
      const noise = guide(data.subarray(0, data.length / 2), data.subarray(data.length / 2), plan.cfg[block]);
      const next = solver.step(index, latents.data, noise, state, drawn);
      latents = float32(latents.shape, next.x);
      state = next.state;
    }
    await program.dispose();
    finished.push(latents);
  }
  return stackBlocks(finished);
}

/** Predicted noise (N, B, C) of the last of so many blocks (N, T', B, C); those before it are clean. */
function sequenceGraph(config: AcditConfig, rows: number, blocks: number): Graph {
  const { blockSize, hidden, layers } = config;
  const clean = blocks - 1;
  const tokens = input('tokens', [rows, blocks, blockSize, tokenSize(config)]);
  const features = input('features', [rows, TIMESTEP_FEATURES]);
  const labels = input('labels', [rows], 'int64');
  const embedder = weightInputs(config, [...CONDITION_WEIGHTS, 'x_embedder.weight']);
  const final = weightInputs(config, [...FINAL_WEIGHTS, ...FINAL_MODULATION]);
  const condition = conditions(embedder, features, labels);
  const modulationOf = (weight: SymbolicTensor, bias: SymbolicTensor, count: number): SymbolicTensor =>
    reshape(modulations(weight, bias, condition, count), [rows, 1, count, hidden]);
  const tables = signedTables(ropeTables(config));
  const positions = (table: Tensor<'float32'>): SymbolicTensor =>
    constant(rowsOf(table, 0, blocks * blockSize));
  const rope = { cos: positions(tables.cos), sin: positions(tables.sin) };

  let stream = linear(tokens, embedder['x_embedder.weight']);
  const used = { ...embedder, ...final };
  for (let layer = 0; layer < layers; layer++) {
    const weights = Object.fromEntries(
      [...layerWeightShapes(config)].map(([name, shape]) => [name, input(`blocks.${layer}.${name}`, shape)]),
    );
    for (const [name, symbol] of Object.entries(weights)) used[`blocks.${layer}.${name}`] = symbol;
    const noised = modulationOf(
      weights['adaLN_modulation.1.weight'],
      weights['adaLN_modulation.1.bias'],
      LAYER_MODULATIONS,
    );
    const still = expand(cleanModulation(), [rows, Math.max(clean, 1), LAYER_MODULATIONS, hidden]);
    const modulation = clean > 0 ? concat([still, noised], 1) : noised;
    // Nothing reads clean blocks behind the last layer.
    const firstQuery = layer === layers - 1 ? clean : 0;
    const plan = compilePlan(blocks, blockSize, blockCausal, { firstQuery });
    stream = transformerLayer(config, weights, stream, modulation, rope, planAttention(plan), firstQuery);
  }
  const [weight, bias] = FINAL_MODULATION.map((name) => final[name]);
  const noise = finalLayer(final, stream, modulationOf(weight, bias, 2));
  return {
    inputs: [tokens, features, labels, ...Object.values(used)],
    outputs: { noise: reshape(noise, [rows, blockSize, tokenSize(config)]) },
  };
}

function boundWeights(config: AcditConfig, weights: Weights): Record<string, Tensor<'float32'>> {
  const others = [...weights].filter(([name]) => !name.startsWith('blocks.'));
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    Object.entries(layerWeights(weights, layer)).map(
      ([name, value]) => [`blocks.${layer}.${name}`, value] as const,
    ),
  );
  return Object.fromEntries([...others, ...layers.flat()]);
}

/** Multiply-adds of one guided sample: in each step, all that makes keys and values of finished blocks, anew. */
export function costWithoutCache(config: AcditConfig, steps: number): number {
  const { blocks, blockSize, hidden } = config;
  let [finished, cost] = [0, 0];
  for (let block = 0; block < blocks; block++) {
    cost += 2 * steps * (finished + stepCost(config, block) + conditionCost(config));
    finished += appendCost(config, block) - blockSize * hidden ** 2; // no queries in the last layer
  }
  return cost;
}
