/** @file The parameters: official names and shapes, initialisation, and views that programs take. */

import { CheckpointError } from '../../errors.ts';
import { printable, printableList } from '../../io/printable.ts';
import type { Generator } from '../../tensor/generator.ts';
import { elementCount, float32, type Tensor, zeros } from '../../tensor/tensor.ts';
import { type AcditConfig, headSize, tokenSize } from './config.ts';

/** Max parameters of each kind that a message quotes. */
const SHOWN_NAMES = 20;
const PROBLEM_LENGTH = 160;

/** Parameters by their name in the official state dict. */
export type Weights = ReadonlyMap<string, Tensor<'float32'>>;

/** Width of the sinusoidal timestep embedding. */
export const TIMESTEP_FEATURES = 256;

/** Weights that make a condition vector of a timestep and a label. */
export const CONDITION_WEIGHTS = [
  't_embedder.mlp.0.weight',
  't_embedder.mlp.0.bias',
  't_embedder.mlp.2.weight',
  't_embedder.mlp.2.bias',
  'y_embedder.embedding_table.weight',
] as const;

/** Dimensions of a head in every released model. */
export const HEAD_SIZE = 64;

/** Modulation vectors of a layer: shift, scale and gate of the attention, then of the feed-forward network. */
export const LAYER_MODULATIONS = 6;
/** What makes a clean token of a noised one's path: shift 0, scale 0, gate 1, twice. */
export const CLEAN_MODULATION: readonly number[] = [0, 0, 1, 0, 0, 1];

/** Name and shape of each parameter of one layer, without its `blocks.N.` prefix. */
export function layerParameters(config: AcditConfig): [name: string, shape: number[]][] {
  const { hidden } = config;
  const mlp = hidden * config.mlpRatio;
  const head = headSize(config);
  return [
    ['norm1.weight', [hidden]],
    ['norm2.weight', [hidden]],
    ['attn.qkv.weight', [3 * hidden, hidden]],
    ['attn.qkv.bias', [3 * hidden]],
    ['attn.q_norm.weight', [head]],
    ['attn.k_norm.weight', [head]],
    ['attn.proj.weight', [hidden, hidden]],
    ['attn.proj.bias', [hidden]],
    ['mlp.fc1.weight', [mlp, hidden]],
    ['mlp.fc1.bias', [mlp]],
    ['mlp.fc2.weight', [hidden, mlp]],
    ['mlp.fc2.bias', [hidden]],
    ['adaLN_modulation.1.weight', [LAYER_MODULATIONS * hidden, hidden]],
    ['adaLN_modulation.1.bias', [LAYER_MODULATIONS * hidden]],
  ];
}

/** Name and shape of every parameter, as in the official state dict. */
export function parameters(config: AcditConfig): Map<string, number[]> {
  const { hidden } = config;
  const size = tokenSize(config);
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    layerParameters(config).map(([name, shape]): [string, number[]] => [`blocks.${layer}.${name}`, shape]),
  );
  return new Map<string, number[]>([
    ['t_embedder.mlp.0.weight', [hidden, TIMESTEP_FEATURES]],
    ['t_embedder.mlp.0.bias', [hidden]],
    ['t_embedder.mlp.2.weight', [hidden, hidden]],
    ['t_embedder.mlp.2.bias', [hidden]],
    ['y_embedder.embedding_table.weight', [config.classes + 1, hidden]],
    ['x_embedder.weight', [hidden, size]],
    ...layers.flat(),
    ['final_layer.norm_final.weight', [hidden]],
    ['final_layer.linear.weight', [size, hidden]],
    ['final_layer.linear.bias', [size]],
    ['final_layer.adaLN_modulation.1.weight', [2 * hidden, hidden]],
    ['final_layer.adaLN_modulation.1.bias', [2 * hidden]],
  ]);
}

/** Numbers that a model learns. */
export function parameterCount(config: AcditConfig): number {
  return [...parameters(config).values()].reduce((sum, shape) => sum + elementCount(shape), 0);
}

/**
 * Check that `weights` are those of `config`.
 * @throws {CheckpointError} listing the missing, extra and misshapen parameters, at most 20 of each kind.
 */
export function checkWeights(config: AcditConfig, shapes: ReadonlyMap<string, readonly number[]>): void {
  const expected = parameters(config);
  const problems = new Map<string, string[]>();
  const note = (problem: string, name: string): void => {
    problems.set(problem, [...(problems.get(problem) ?? []), name]);
  };
  for (const [name, shape] of expected) {
    const got = shapes.get(name);
    if (!got) note('missing', name);
    else if (got.join() !== shape.join()) note(`of shape [${got}] instead of [${shape}]`, name);
  }
  for (const name of shapes.keys()) if (!expected.has(name)) note('unknown', name);
  if (problems.size === 0) return;
  const groups = [...problems].map(
    ([problem, names]) =>
      `${printable(problem, PROBLEM_LENGTH)}: ${printableList(groupLayers(names), SHOWN_NAMES)}`,
  );
  const listed = groups.slice(0, SHOWN_NAMES).join('; ');
  throw new CheckpointError(
    `weights do not fit the model: ${listed}${groups.length > SHOWN_NAMES ? `; and ${groups.length - SHOWN_NAMES} other problems` : ''}`,
  );
}

/** All names, those that differ in the layer only as one: `blocks.{0,1,2}.norm1.weight`. */
export function groupLayers(names: readonly string[]): string[] {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const [, layer, rest] = /^blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
    const key = layer === undefined ? name : `blocks.{}.${rest}`;
    groups.set(key, [...(groups.get(key) ?? []), layer ?? '']);
  }
  return [...groups].map(([key, layers]) =>
    key.replace('{}', layers.length > 1 ? `{${layers.join(',')}}` : layers[0]),
  );
}

/**
 * The official initialisation: Xavier-uniform linear layers with zero biases, N(0, 0.02) label table and
 * timestep network, ones in norms, zeros in every modulation and in the last layer, so that an untrained
 * model predicts 0.
 */
export function initializeWeights(config: AcditConfig, generator: Generator): Map<string, Tensor<'float32'>> {
  const initialize = (name: string, shape: number[]): Tensor<'float32'> => {
    const count = elementCount(shape);
    const isBias = name.endsWith('bias');
    if (isBias || name.includes('adaLN_modulation') || name === 'final_layer.linear.weight')
      return zeros('float32', shape);
    if (shape.length === 1) return float32(shape, new Float32Array(count).fill(1));
    if (name.startsWith('y_embedder') || name.startsWith('t_embedder')) {
      return float32(
        shape,
        generator.randn(count).map((value) => value * 0.02),
      );
    }
    const bound = Math.sqrt(6 / (shape[0] + shape[1]));
    return float32(
      shape,
      generator.rand(count).map((value) => (value * 2 - 1) * bound),
    );
  };
  return new Map([...parameters(config)].map(([name, shape]) => [name, initialize(name, shape)]));
}

/** Rows `start` up to `end` of a tensor's first axis, sharing its memory. */
export function rowsOf(value: Tensor<'float32'>, start: number, end: number): Tensor<'float32'> {
  const [, ...inner] = value.shape;
  const size = elementCount(inner);
  return float32([end - start, ...inner], value.data.subarray(start * size, end * size));
}

/**
 * One layer's weights as its programs take them, sharing memory with `weights`: official names without the
 * prefix, and the stacked `attn.qkv` cut into `attn.query`, `attn.key` and `attn.value`, so that each is a
 * product of its own whose result needs no splitting.
 */
export function layerWeights(weights: Weights, layer: number): Record<string, Tensor<'float32'>> {
  const prefix = `blocks.${layer}.`;
  const views: Record<string, Tensor<'float32'>> = {};
  for (const [fullName, value] of weights) {
    if (!fullName.startsWith(prefix)) continue;
    const name = fullName.slice(prefix.length);
    if (!name.startsWith('attn.qkv.')) {
      views[name] = value;
      continue;
    }
    const hidden = value.shape[0] / 3;
    for (const [i, part] of ['query', 'key', 'value'].entries()) {
      views[name.replace('qkv', part)] = rowsOf(value, i * hidden, (i + 1) * hidden);
    }
  }
  return views;
}

/** The name in the whole model of what a layer calls `name`. */
export const numberedName = (layer: number, name: string): string => `blocks.${layer}.${name}`;

/** All layers' weights as programs of the whole model take them: {@link layerWeights} with the layers' numbers. */
export function allLayerWeights(
  { layers }: AcditConfig,
  weights: Weights,
): Record<string, Tensor<'float32'>> {
  const entries = Array.from({ length: layers }, (_, layer) =>
    Object.entries(layerWeights(weights, layer)).map(([name, value]): [string, Tensor<'float32'>] => [
      numberedName(layer, name),
      value,
    ]),
  );
  return Object.fromEntries(entries.flat());
}

/** Shapes of what {@link layerWeights} gives. */
export function layerWeightShapes(config: AcditConfig): Map<string, number[]> {
  return new Map(
    layerParameters(config).flatMap(([name, shape]): [string, number[]][] =>
      name.startsWith('attn.qkv.')
        ? ['query', 'key', 'value'].map((part) => [
            name.replace('qkv', part),
            [config.hidden, ...shape.slice(1)],
          ])
        : [[name, shape]],
    ),
  );
}
