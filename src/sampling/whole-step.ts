/**
 * @file The engine of small models for devices with memory of their own: a denoising step is one program. Tokens,
 * modulations and the cache are copied to the device, the predicted noise comes back. Segment by segment, hidden vectors,
 * queries, keys and values would be copied twice in every layer, and each time the host would wait for the device.
 */

import { at, take } from '../at.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { concat, split } from '../graph/operators/index.ts';
import { input, inputName, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { createPositions } from '../models/acdit/rope.ts';
import { predictNoise } from '../models/acdit/transformer.ts';
import { FINAL_MODULATIONS, isWeight, LAYER_MODULATIONS, modelInputs } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { joinAxis } from '../tensor/axes.ts';
import { elementCount, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { numberedFeeds } from './cache.ts';
import { type AttentionInputs, attendWithPast, type PastSymbols, pastSymbols } from './graphs.ts';
import type { PassEngine, Sequence } from './pass-engine.ts';
import type { Prepare } from './precision.ts';
import { graphWeights, type WeightSource } from './segments.ts';

/** What a program is made for. */
interface WholeStepOptions {
  readonly samples: number;
  /** Guidance branches. */
  readonly branches: number;
  /** Whether there are clean blocks. */
  readonly cached: boolean;
}

/** Every program holds all weights, so it is used only for models up to this size. */
const MAX_BYTES = 256e6;

/** Programs that are kept: without and with clean blocks, guided and not, for two numbers of samples. */
const MAX_PROGRAMS = 8;

/** Checks whether a model's steps are whole on a device: the larger a model, the less the transfers matter. */
export function stepsWhole(device: Device, config: AcditConfig): boolean {
  return device.separateMemory && weightBytes(config) <= MAX_BYTES;
}

/** Bytes of the weights that a step takes: all but those that make modulations. */
function weightBytes(config: AcditConfig): number {
  const graph = wholeStepGraph(config, { samples: 1, branches: 1, cached: false });
  return graph.inputs
    .filter((symbol) => isWeight(inputName(symbol)))
    .reduce((sum, { shape }) => sum + 4 * elementCount(shape.map(Number)), 0);
}

/** Makes the engine. What is not the denoising step of one sequence runs in segments. */
export function wholeStepEngine(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
  segments: PassEngine,
  prepare: Prepare,
): PassEngine {
  const positions = createPositions(config);
  const programs = createPrograms(async (options) => {
    const exact = wholeStepGraph(config, options);
    const { graph, weights } = prepare({ graph: exact, weights: await graphWeights(exact, source) });
    return device.compile(graph, weights);
  });
  return {
    async run(sequences, mayStop) {
      const [sequence, ...others] = sequences;
      if (!sequence?.noised || others.length > 0) return segments.run(sequences, mayStop);
      mayStop();
      const { latents, cache, noised } = sequence;
      const [samples, blockSize, tokenSize] = take(latents.shape, 3);
      const branches = noised.conditions.length / samples;
      const program = await programs.get({ samples, branches, cached: cache.blocks > 0 });
      const { noise } = await program.run({
        ...positions(cache.blocks),
        // Each branch has the same tokens.
        tokens: float32(
          [branches * samples, 1, blockSize, tokenSize],
          joinAxis(Array<typeof latents>(branches).fill(latents), 0).data,
        ),
        ...modulationFeeds(config, noised),
        ...Object.fromEntries(numberedFeeds('cachedKeys', cache.keys)),
        ...Object.fromEntries(numberedFeeds('cachedValues', cache.values)),
      });
      const shape = [branches, samples, blockSize, tokenSize];
      return [{ noise: float32(shape, (noise as Tensor<'float32'>).data), cache }];
    },
    mayShare: (sequences) => segments.mayShare(sequences),
    slide: (cache) => segments.slide(cache),
    async dispose() {
      await segments.dispose();
      await programs.dispose();
    },
  };
}

/** Keeps programs, which are compiled when they are first needed. */
function createPrograms(compile: (options: WholeStepOptions) => Promise<Program>) {
  /** By their options, the one that was used least recently first. */
  const programs = new Map<string, Program>();
  return {
    async get(options: WholeStepOptions): Promise<Program> {
      const key = JSON.stringify(options);
      const program = programs.get(key) ?? (await compile(options));
      programs.delete(key);
      programs.set(key, program);
      for (const [oldest, unused] of programs) {
        if (programs.size <= MAX_PROGRAMS) break;
        programs.delete(oldest);
        await unused.dispose();
      }
      return program;
    },
    async dispose(): Promise<void> {
      for (const program of programs.values()) await program.dispose();
      programs.clear();
    },
  };
}

/**
 * `tokens` (rows, 1, B, token size) of a block, a guidance branch's samples together; `cos` and `sin` (B, D) of its
 * places; `modulations` (rows, layers, 6, C) and `finalModulation` (rows, 1, 2, C); and of every layer l and group of
 * heads g `cachedKeys.l.g` and `cachedValues.l.g` (N, heads, cached, D): to `noise` (rows, 1, B, token size).
 */
export function wholeStepGraph(config: AcditConfig, { samples, branches, cached }: WholeStepOptions): Graph {
  const { layers, blockSize, hidden } = config;
  const rows = samples * branches;
  const tokens = input('tokens', [rows, 1, blockSize, tokenSize(config)]);
  const places = [blockSize, headSize(config)];
  const rope = { cos: input('cos', places), sin: input('sin', places) };
  const modulations = input('modulations', [rows, layers, LAYER_MODULATIONS, hidden]);
  const noise = predictNoise(
    modelInputs(config),
    tokens,
    {
      layers: split(modulations, 1, Array<number>(layers).fill(1)),
      final: input('finalModulation', [rows, 1, FINAL_MODULATIONS, hidden]),
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
  const keys = split(key, 0, branches);
  const values = split(value, 0, branches);
  const attended = split(query, 0, branches).map((own, b) =>
    attendWithPast(config, { query: own, key: at(keys, b), value: at(values, b) }, past),
  );
  return concat(attended, 0);
}

function modulationFeeds(
  { layers, hidden }: AcditConfig,
  { conditions, table }: NonNullable<Sequence['noised']>,
): Feeds {
  const modulations = zeros('float32', [conditions.length, layers, LAYER_MODULATIONS, hidden]);
  const finalModulation = zeros('float32', [conditions.length, 1, FINAL_MODULATIONS, hidden]);
  const size = LAYER_MODULATIONS * hidden;
  for (const [row, condition] of conditions.entries()) {
    for (let layer = 0; layer < layers; layer++) {
      modulations.data.set(table.row(layer, condition), (row * layers + layer) * size);
    }
    finalModulation.data.set(table.row(layers, condition), row * FINAL_MODULATIONS * hidden);
  }
  return { modulations, finalModulation };
}
