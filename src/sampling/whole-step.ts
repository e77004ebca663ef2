/**
 * @file A denoising step as one program, for devices with a memory of their own: tokens, modulations and the cache cross over
 * to it, the predicted noise comes back. Segment by segment, hidden vectors, queries, keys and values would cross twice in
 * every layer, and each time the host would wait for the device.
 */

import { type Graph, graphOf } from '../graph/onnx.ts';
import { concat, split } from '../graph/operators/index.ts';
import { input, inputName, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { predictNoise } from '../models/acdit/transformer.ts';
import { modelInputs } from '../models/acdit/weight-inputs.ts';
import { FINAL_MODULATIONS, isWeight, LAYER_MODULATIONS } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { elementCount, type Tensor, zeros } from '../tensor/tensor.ts';
import { type AttentionInputs, attendBehind, numbered, type PastSymbols, pastSymbols } from './graphs.ts';
import type { DenoisePart } from './pass-parts.ts';
import { graphWeights, type WeightSource } from './segments.ts';

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

/** Every program holds all weights, so of models larger than this many bytes there is none. */
const MOST_BYTES = 256e6;

/** Programs that are kept: without and with clean blocks, for two numbers of samples. */
const MOST_PROGRAMS = 4;

/** Whether steps of a model are to be whole on a device: the larger a model, the less does crossing over weigh. */
export function stepsWhole(device: Device, config: AcditConfig): boolean {
  return device.separateMemory && weightBytes(config) <= MOST_BYTES;
}

/** Bytes of the weights that a step takes: all but those that make modulations. */
function weightBytes(config: AcditConfig): number {
  const graph = wholeStepGraph(config, { samples: 1, branches: 1, cached: false });
  return graph.inputs
    .filter((symbol) => isWeight(inputName(symbol)))
    .reduce((sum, { shape }) => sum + 4 * elementCount(shape.map(Number)), 0);
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
  const graph = wholeStepGraph(config, options);
  return device.compile(graph, await graphWeights(graph, source));
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
  const noise = predictNoise(
    modelInputs(config),
    tokens,
    {
      layers: split(modulations, 1, Array<number>(layers).fill(1)),
      final: input('finalModulation', [groups, 1, FINAL_MODULATIONS, hidden]),
    },
    rope,
    (layer) => {
      const past = cached ? pastSymbols(config, samples, `.${layer}`, 'cached') : undefined;
      return {
        attend: (query, key, value) => attendByBranches(config, samples, { query, key, value }, past),
      };
    },
  );
  return graphOf({ noise });
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
