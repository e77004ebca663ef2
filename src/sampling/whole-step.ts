/**
 * @file A denoising step as one program, for devices with a memory of their own: tokens, modulations and the cache cross over
 * to it, the predicted noise comes back. Segment by segment, hidden vectors, queries, keys and values would cross twice in
 * every layer, and each time the host would wait for the device.
 */

import type { Graph } from '../graph/onnx.ts';
import { concat, linear, split } from '../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import {
  type Attend,
  type AttentionInputs,
  finalLayer,
  numberedLayerInputs,
  undividedLayer,
  weightInputs,
} from '../models/acdit/transformer.ts';
import { allLayerWeights, LAYER_MODULATIONS, parameters, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { elementCount, type Tensor, zeros } from '../tensor/tensor.ts';
import { attendBehind, FINAL_WEIGHTS, numbered, type PastSymbols, pastSymbols } from './graphs.ts';
import type { DenoisePart } from './pass-parts.ts';
import type { WeightSource } from './segments.ts';

/** Denoising steps of one sequence at a time. */
export interface WholeSteps {
  /** Predicted noise (groups, 1, B, token size). */
  predict(part: DenoisePart): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
}

/** What a program is made for. */
export interface WholeStepOptions {
  readonly samples: number;
  /** Guidance branches. */
  readonly branches: number;
  /** Whether there are clean blocks. */
  readonly cached: boolean;
}

const OUTER_WEIGHTS = ['x_embedder.weight', ...FINAL_WEIGHTS] as const;

/** Every program holds all weights, so of models larger than this many bytes there is none. */
const MOST_BYTES = 256e6;

/** Programs that are kept: without and with clean blocks, for two numbers of samples. */
const MOST_PROGRAMS = 4;

/** Whether steps of a model are to be whole on a device: the larger a model, the less does crossing over weigh. */
export function stepsWhole(device: Device, config: AcditConfig): boolean {
  return device.separateMemory && weightBytes(config) <= MOST_BYTES;
}

function weightBytes(config: AcditConfig): number {
  const shapes = parameters(config);
  return 4 * stepWeightNames(config).reduce((sum, name) => sum + elementCount(shapes.get(name)!), 0);
}

/** Names of the weights that a step takes: all but those that make modulations. */
function stepWeightNames(config: AcditConfig): string[] {
  const ofLayers = [...parameters(config).keys()].filter(
    (name) => name.startsWith('blocks.') && !name.includes('adaLN'),
  );
  return [...ofLayers, ...OUTER_WEIGHTS];
}

/** Programs are compiled when they are first needed. */
export function createWholeSteps(device: Device, config: AcditConfig, source: WeightSource): WholeSteps {
  const programs = new Map<string, Program>();

  async function programFor(options: WholeStepOptions): Promise<Program> {
    const key = JSON.stringify(options);
    const program = programs.get(key) ?? (await compileWholeStep(device, config, source, options));
    programs.delete(key);
    programs.set(key, program);
    if (programs.size > MOST_PROGRAMS) {
      const [oldest] = programs.keys();
      await programs.get(oldest)!.dispose();
      programs.delete(oldest);
    }
    return program;
  }

  return {
    async predict(part) {
      const { samples, branches, cache } = part;
      const program = await programFor({ samples, branches, cached: cache.blocks > 0 });
      const { noise } = await program.run(feedsOf(config, part));
      return noise as Tensor<'float32'>;
    },
    async dispose() {
      for (const program of programs.values()) await program.dispose();
      programs.clear();
    },
  };
}

async function compileWholeStep(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
  options: WholeStepOptions,
): Promise<Program> {
  const weights = new Map<string, Tensor<'float32'>>();
  for (const name of stepWeightNames(config)) weights.set(name, await source(name));
  return device.compile(wholeStepGraph(config, options), boundWeights(config, weights));
}

function boundWeights(config: AcditConfig, weights: Weights): Feeds {
  const outer = OUTER_WEIGHTS.map((name) => [name, weights.get(name)!] as const);
  return { ...Object.fromEntries(outer), ...allLayerWeights(config, weights) };
}

/**
 * `tokens` (groups, 1, B, token size) of a block, a guidance branch's samples together; `cos` and `sin` (B, D) of its
 * places; `modulations` (groups, layers, 6, C) and `finalModulation` (groups, 1, 2, C); and of every layer l and group of
 * heads g `cachedKeys.l.g` and `cachedValues.l.g` (N, heads, cached, D): to `noise` (groups, 1, B, token size).
 */
export function wholeStepGraph(config: AcditConfig, { samples, branches, cached }: WholeStepOptions): Graph {
  const { layers, blockSize, hidden } = config;
  const groups = samples * branches;
  const tokens = input('tokens', [groups, 1, blockSize, tokenSize(config)]);
  const places = [blockSize, headSize(config)];
  const rope = { cos: input('cos', places), sin: input('sin', places) };
  const modulations = input('modulations', [groups, layers, LAYER_MODULATIONS, hidden]);
  const finalModulation = input('finalModulation', [groups, 1, 2, hidden]);
  const outer = weightInputs(config, OUTER_WEIGHTS);
  const ofLayers = Array.from({ length: layers }, (_, layer) => numberedLayerInputs(config, layer));
  const past = ofLayers.map((_, layer) =>
    cached ? pastSymbols(config, samples, `.${layer}`, 'cached') : undefined,
  );
  const ofLayer = split(modulations, 1, Array<number>(layers).fill(1));
  const blocks = ofLayers.reduce(
    (x, weights, layer) => {
      const attend: Attend = (query, key, value) =>
        attendByBranches(config, samples, { query, key, value }, past[layer]);
      return undividedLayer(config, weights, x, ofLayer[layer], rope, attend);
    },
    linear(tokens, outer['x_embedder.weight']),
  );
  const weights = [...Object.values(outer), ...ofLayers.flatMap(usedInLayer)];
  const cachedInputs = past.flatMap((layer) => (layer ? [...layer.keys, ...layer.values] : []));
  return {
    inputs: [tokens, rope.cos, rope.sin, modulations, finalModulation, ...cachedInputs, ...weights],
    outputs: { noise: finalLayer(outer, blocks, finalModulation) },
  };
}

/** A layer's weights but those of its modulation, which is an input. */
function usedInLayer(weights: Readonly<Record<string, SymbolicTensor>>): SymbolicTensor[] {
  return Object.entries(weights).flatMap(([name, symbol]) => (name.startsWith('adaLN') ? [] : [symbol]));
}

/** Each branch attends the same clean blocks. */
function attendByBranches(
  config: AcditConfig,
  samples: number,
  { query, key, value }: AttentionInputs,
  past: PastSymbols | undefined,
): SymbolicTensor {
  const branches = Array<number>(Number(query.shape[0]) / samples).fill(samples);
  const [queries, keys, values] = [query, key, value].map((all) => split(all, 0, branches));
  return concat(
    queries.map((own, b) => attendBehind(config, { query: own, key: keys[b], value: values[b] }, past)),
    0,
  );
}

function feedsOf(config: AcditConfig, part: DenoisePart): Feeds {
  const { layers, blockSize, hidden } = config;
  const { groups, cache } = part;
  const tokens = zeros('float32', [groups, 1, blockSize, tokenSize(config)]);
  for (let start = 0; start < tokens.data.length; start += part.tokens.length) {
    tokens.data.set(part.tokens, start);
  }
  const modulations = zeros('float32', [groups, layers, LAYER_MODULATIONS, hidden]);
  const finalModulation = zeros('float32', [groups, 1, 2, hidden]);
  const size = LAYER_MODULATIONS * hidden;
  for (let group = 0; group < groups; group++) {
    for (let layer = 0; layer < layers; layer++) {
      modulations.data.set(part.modulation(layer, group), (group * layers + layer) * size);
    }
    finalModulation.data.set(part.modulation(layers, group), group * 2 * hidden);
  }
  const past = (name: string, kind: typeof cache.keys): [string, Tensor<'float32'>][] =>
    kind.flatMap((layer, l) =>
      layer.map((value, g): [string, Tensor<'float32'>] => [numbered(numbered(name, l), g), value]),
    );
  return {
    tokens,
    ...part.places,
    modulations,
    finalModulation,
    ...Object.fromEntries([...past('cachedKeys', cache.keys), ...past('cachedValues', cache.values)]),
  };
}
