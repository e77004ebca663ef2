/** @file The parameters: official names and shapes, initialisation, and views that programs take. */

import { at, take } from '../../at.ts';
import { CheckpointError } from '../../errors.ts';
import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
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

/** Dimensions of a head in every released model. */
export const HEAD_SIZE = 64;

/** Modulation vectors of a layer: shift, scale and gate of the attention, then of the feed-forward network. */
export const LAYER_MODULATIONS = 6;
/** Modulation vectors of the final layer: shift and scale. */
export const FINAL_MODULATIONS = 2;
/** What makes a clean token of a noised one's path: shift 0, scale 0, gate 1, twice. */
export const CLEAN_MODULATION: readonly number[] = [0, 0, 1, 0, 0, 1];

/** Shapes of the weights that embed timesteps, labels and tokens. */
function embedderShapes(config: AcditConfig) {
  const { hidden, classes } = config;
  return {
    't_embedder.mlp.0.weight': [hidden, TIMESTEP_FEATURES],
    't_embedder.mlp.0.bias': [hidden],
    't_embedder.mlp.2.weight': [hidden, hidden],
    't_embedder.mlp.2.bias': [hidden],
    'y_embedder.embedding_table.weight': [classes + 1, hidden],
    'x_embedder.weight': [hidden, tokenSize(config)],
  };
}

/** Shapes of the weights of one layer, without their `blocks.N.` prefix. */
function layerShapes(config: AcditConfig) {
  const { hidden } = config;
  const mlp = hidden * config.mlpRatio;
  const head = headSize(config);
  return {
    'norm1.weight': [hidden],
    'norm2.weight': [hidden],
    'attn.qkv.weight': [3 * hidden, hidden],
    'attn.qkv.bias': [3 * hidden],
    'attn.q_norm.weight': [head],
    'attn.k_norm.weight': [head],
    'attn.proj.weight': [hidden, hidden],
    'attn.proj.bias': [hidden],
    'mlp.fc1.weight': [mlp, hidden],
    'mlp.fc1.bias': [mlp],
    'mlp.fc2.weight': [hidden, mlp],
    'mlp.fc2.bias': [hidden],
    'adaLN_modulation.1.weight': [LAYER_MODULATIONS * hidden, hidden],
    'adaLN_modulation.1.bias': [LAYER_MODULATIONS * hidden],
  };
}

/** Shapes of the weights after the last layer. */
function finalShapes(config: AcditConfig) {
  const { hidden } = config;
  const size = tokenSize(config);
  return {
    'final_layer.norm_final.weight': [hidden],
    'final_layer.linear.weight': [size, hidden],
    'final_layer.linear.bias': [size],
    'final_layer.adaLN_modulation.1.weight': [FINAL_MODULATIONS * hidden, hidden],
    'final_layer.adaLN_modulation.1.bias': [FINAL_MODULATIONS * hidden],
  };
}

/** The official names of the weights before the first layer. */
export type EmbedderWeight = keyof ReturnType<typeof embedderShapes>;
/** The official names of the weights after the last layer. */
export type FinalWeight = keyof ReturnType<typeof finalShapes>;
type StoredLayerWeight = keyof ReturnType<typeof layerShapes>;
type Projection = (typeof PROJECTIONS)[number];
/** The names of a layer's weights in programs: the official ones, with the stacked `attn.qkv` in three. */
export type LayerWeight =
  | Exclude<StoredLayerWeight, `attn.qkv.${string}`>
  | `attn.${Projection}.${'weight' | 'bias'}`;
/** Every weight's name in a program of the whole model. */
export type WeightName = EmbedderWeight | `blocks.${number}.${LayerWeight}` | FinalWeight;

/** Name and shape of every parameter, as in the official state dict. */
export function parameters(config: AcditConfig): Map<string, number[]> {
  const ofLayer = Object.entries(layerShapes(config));
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    ofLayer.map(([name, shape]): [string, number[]] => [`blocks.${layer}.${name}`, shape]),
  );
  return new Map<string, number[]>([
    ...Object.entries(embedderShapes(config)),
    ...layers.flat(),
    ...Object.entries(finalShapes(config)),
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
    key.replace('{}', layers.length > 1 ? `{${layers.join(',')}}` : at(layers, 0)),
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
      const values = generator.randn(count).map((value) => value * 0.02);
      return float32(shape, values);
    }
    const [rows, columns] = take(shape, 2);
    const bound = Math.sqrt(6 / (rows + columns));
    const values = generator.rand(count).map((value) => (value * 2 - 1) * bound);
    return float32(shape, values);
  };
  return new Map([...parameters(config)].map(([name, shape]) => [name, initialize(name, shape)]));
}

/** Rows `start` up to `end` of a tensor's first axis, sharing its memory. */
export function rowsOf(value: Tensor<'float32'>, start: number, end: number): Tensor<'float32'> {
  const [, ...inner] = value.shape;
  const size = elementCount(inner);
  return float32([end - start, ...inner], value.data.subarray(start * size, end * size));
}

/** Parts of the stacked `attn.qkv`, in their order there. */
const PROJECTIONS = ['query', 'key', 'value'] as const;

/** The name of the parameter that a program's weight is, or is a third of: `attn.key.bias` is in `attn.qkv.bias`. */
export function storedName(name: string): string {
  return name.replace(/(^|\.)attn\.(query|key|value)\./, '$1attn.qkv.');
}

/** Which third of the parameter called {@link storedName} a program's weight is; undefined if it is all of it. */
export function stackedPart(name: string): number | undefined {
  const part = PROJECTIONS.findIndex((projection) => name.includes(`attn.${projection}.`));
  return part < 0 ? undefined : part;
}

/** A program's weight, sharing the memory of the parameter called {@link storedName}. */
export function weightView(name: string, stored: Tensor<'float32'>): Tensor<'float32'> {
  const part = stackedPart(name);
  if (part === undefined) return stored;
  const rows = at(stored.shape, 0) / PROJECTIONS.length;
  return rowsOf(stored, part * rows, (part + 1) * rows);
}

/** Weights by their names in programs of the whole model, sharing memory with the parameters. */
export function weightViews(
  weights: Weights,
  names: readonly WeightName[],
): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(names.map((name) => [name, weightView(name, weights.get(storedName(name))!)]));
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
    for (const name of programNames(fullName.slice(prefix.length))) views[name] = weightView(name, value);
  }
  return views;
}

/** Shapes of what {@link layerWeights} returns. */
export function layerWeightShapes(config: AcditConfig): Record<LayerWeight, number[]> {
  const entries = Object.entries(layerShapes(config)).flatMap(([stored, shape]) => {
    const [rows, ...inner] = take(shape, 1);
    return programNames(stored).map((name) => [
      name,
      [stackedPart(name) === undefined ? rows : rows / 3, ...inner],
    ]);
  });
  return Object.fromEntries(entries);
}

/** Weights that embed timesteps, labels and tokens, as inputs of a graph by their official names. */
export type EmbedderSymbols = Readonly<Record<EmbedderWeight, SymbolicTensor>>;
/** Weights of a layer by their names in {@link LayerWeight}, without a prefix. */
export type LayerSymbols = Readonly<Record<LayerWeight, SymbolicTensor>>;
/** Weights after the last layer, by their official names. */
export type FinalSymbols = Readonly<Record<FinalWeight, SymbolicTensor>>;

/** All weights of a model. */
export interface ModelSymbols {
  readonly embedder: EmbedderSymbols;
  readonly layers: readonly LayerSymbols[];
  readonly final: FinalSymbols;
}

/** Makes inputs for all weights of a model. */
export function modelInputs(config: AcditConfig): ModelSymbols {
  return {
    embedder: inputsOfShapes(embedderShapes(config)),
    layers: Array.from({ length: config.layers }, (_, layer) => layerInputs(config, `blocks.${layer}.`)),
    final: inputsOfShapes(finalShapes(config)),
  };
}

/** Makes inputs for the weights of one layer: any one, or with its `blocks.N.` as `prefix`. */
export function layerInputs(config: AcditConfig, prefix = ''): LayerSymbols {
  return inputsOfShapes(layerWeightShapes(config), prefix);
}

function inputsOfShapes<Name extends string>(
  shapes: Readonly<Record<Name, number[]>>,
  prefix = '',
): Record<Name, SymbolicTensor> {
  const named = Object.entries<number[]>(shapes).map(([name, shape]) => [name, input(prefix + name, shape)]);
  return Object.fromEntries(named);
}

/** Names in programs of a parameter: its own, or three of a stacked one. */
function programNames(stored: string): string[] {
  return stored.startsWith('attn.qkv.')
    ? PROJECTIONS.map((projection) => stored.replace('qkv', projection))
    : [stored];
}

const WEIGHT_NAME = /^([txy]_embedder|blocks\.\d+|final_layer)\./;

/** Checks whether an input of a program of the whole model is a weight. */
export function isWeight(name: string): name is WeightName {
  return WEIGHT_NAME.test(name);
}
