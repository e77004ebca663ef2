/**
 * @file The graphs that sampling runs on devices with memory of their own. A pass is a few programs of many layers each,
 * for any number of rows and finished blocks; small ones change the cache between passes.
 */

import { at } from '../at.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { attention, concat, linear, slice } from '../graph/operators/index.ts';
import { applyOne, input, inputName, type Shape, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { finalLayer, rotate, transformerLayer } from '../models/acdit/transformer.ts';
import { FINAL_MODULATIONS, isWeight, LAYER_MODULATIONS, modelInputs } from '../models/acdit/weights.ts';
import { mapValues } from '../records.ts';
import { elementCount } from '../tensor/tensor.ts';
import { runsOf } from './cache.ts';
import { numbered } from './graphs.ts';

/** What a layer's cache holds; keys before rotation only where it can slide. */
export const CACHE_KINDS = ['keys', 'values', 'plainKeys'] as const;
export type CacheKind = (typeof CACHE_KINDS)[number];

/** Whether a tensor of a program is part of a cache, which has the precision of products. */
export function isCached(name: string): boolean {
  return CACHE_KINDS.some((kind) => new RegExp(`(^|\\.)${kind}\\.\\d+$`).test(name));
}

/** Layers `first` up to `end` of a model, which are one program; with the first come tokens, with the last the noise. */
export interface Part {
  readonly first: number;
  readonly end: number;
}

/** Divides a model into as few parts of consecutive layers as have at most `maxBytes` of weights each, or one layer. */
export function partsOf(config: AcditConfig, maxBytes: number): Part[] {
  const size = weightBytes(partGraph(config, { first: 0, end: 1 }, true));
  const layers = Math.max(1, Math.floor(maxBytes / size));
  return Array.from({ length: Math.ceil(config.layers / layers) }, (_, i) => ({
    first: i * layers,
    end: Math.min(config.layers, (i + 1) * layers),
  }));
}

function weightBytes({ inputs }: Graph): number {
  return inputs
    .filter((symbol) => isWeight(inputName(symbol)))
    .reduce((sum, { shape }) => sum + 4 * elementCount(shape.map(Number)), 0);
}

/** Tensors that a pass takes once, for all of its parts: rows are those of all its sequences. */
function sharedShapes(config: AcditConfig) {
  const { layers, hidden, blockSize } = config;
  const places = [blockSize, headSize(config)];
  return {
    cos: places,
    sin: places,
    samples: ['rows'],
    modulations: ['rows', layers, LAYER_MODULATIONS, hidden],
    finalModulation: ['rows', 1, FINAL_MODULATIONS, hidden],
  } as const satisfies Record<string, Shape>;
}

/**
 * A part of the model: `tokens` (rows, 1, B, token size), or `hidden.<first>` (rows, 1, B, C) of the part before, to `hidden.<end>` or
 * `noise` (rows, 1, B, token size). All rows are of the same block: `cos` and `sin` (B, D) are the tables of its places.
 * `modulations` (rows, layers, 6, C) are those of all layers; `finalModulation` (rows, 1, 2, C). A layer's cache is
 * `past.keys.<layer>` and `past.values.<layer>` (N, H, cached, D), and `samples` (rows) says which of the N samples is a
 * row's. The block's own keys and values (rows, H, B, D) are outputs: `keys.<layer>`, `values.<layer>` and `plainKeys.<layer>`.
 * @param past whether there is a cache, which may be empty
 */
export function partGraph(config: AcditConfig, { first, end }: Part, past: boolean): Graph {
  const { layers, blockSize, hidden } = config;
  const weights = modelInputs(config);
  const { modulations, finalModulation, samples, ...rope } = sharedInputs(config);
  const own: Record<string, SymbolicTensor> = {};
  let vectors =
    first === 0
      ? linear(
          input('tokens', ['rows', 1, blockSize, tokenSize(config)]),
          weights.embedder['x_embedder.weight'],
        )
      : input(numbered('hidden', first), ['rows', 1, blockSize, hidden]);
  for (let layer = first; layer < end; layer++) {
    const withPast = (kind: CacheKind, x: SymbolicTensor): SymbolicTensor =>
      past ? concat([rowsOfSamples(pastInput(config, kind, layer), samples), x], 2) : x;
    vectors = transformerLayer(
      at(weights.layers, layer),
      vectors,
      slice(modulations, 1, layer, layer + 1),
      rope,
      {
        attend(query, keys, values, plainKeys) {
          const made = { keys, values, ...(canSlide(config) && { plainKeys }) };
          for (const [kind, symbol] of Object.entries(made)) own[numbered(kind, layer)] = symbol;
          return attention(query, withPast('keys', keys), withPast('values', values));
        },
      },
    );
  }
  const result =
    end < layers
      ? { [numbered('hidden', end)]: vectors }
      : { noise: finalLayer(weights.final, vectors, finalModulation) };
  return graphOf({ ...result, ...own });
}

/** Videos may have more blocks than the model was trained with. */
function canSlide({ frames }: AcditConfig): boolean {
  return frames > 1;
}

function sharedInputs(config: AcditConfig) {
  return mapValues(sharedShapes(config), (shape: Shape, name) =>
    input(name, shape, name === 'samples' ? 'int32' : 'float32'),
  );
}

/** A layer's cache of N samples, as an input. */
function pastInput(config: AcditConfig, kind: CacheKind, layer: number, samples = 'samples'): SymbolicTensor {
  return input(pastName(kind, layer), [samples, config.heads, 'cached', headSize(config)]);
}

/** The name of a layer's cache as an input, which its outputs have without the prefix. */
function pastName(kind: CacheKind, layer: number): string {
  return `past.${numbered(kind, layer)}`;
}

function rowsOfSamples(x: SymbolicTensor, samples: SymbolicTensor): SymbolicTensor {
  const shape = ['rows', ...x.shape.slice(1)];
  return applyOne({ operator: 'Gather', inputs: [x, samples], attributes: { axis: 0 }, shape });
}

/** What a pass takes once, under the names that its parts know, to `kept.<name>`: a copy that stays on the device. */
export function uploadGraph(config: AcditConfig): Graph {
  const inputs = Object.entries(sharedInputs(config));
  return graphOf(Object.fromEntries(inputs.map(([name, symbol]) => [`kept.${name}`, symbol])));
}

/** Each layer's cache `past.<kind>.<layer>`, and a block's own `own.<kind>.<layer>` (N, H, B, D), to `<kind>.<layer>`. */
export function extendGraph(config: AcditConfig, kinds: readonly CacheKind[]): Graph {
  const shape = ['samples', config.heads, config.blockSize, headSize(config)];
  return ofLayers(config, (layer) =>
    ofKinds(kinds, (kind) =>
      concat([pastInput(config, kind, layer), input(`own.${numbered(kind, layer)}`, shape)], 2),
    ),
  );
}

/** Caches of equally many blocks, `<i>.<kind>.<layer>`, as one cache of all their samples, `<kind>.<layer>`. */
export function joinGraph(config: AcditConfig, caches: number): Graph {
  return ofLayers(config, (layer) =>
    ofKinds(['keys', 'values'], (kind) => {
      const parts = Array.from({ length: caches }, (_, i) =>
        input(`${i}.${numbered(kind, layer)}`, [`samples${i}`, config.heads, 'cached', headSize(config)]),
      );
      return concat(parts, 0);
    }),
  );
}

/**
 * Some blocks of caches, `<i>.<kind>.<layer>`, as one cache, `<kind>.<layer>`.
 * @param parts the blocks that each cache holds, and which of them are taken
 * @param moved whether their keys are rotated by `cos` and `sin`, the tables of their new places
 */
export function arrangeGraph(
  config: AcditConfig,
  parts: readonly { readonly held: number; readonly blocks: readonly number[] }[],
  kinds: readonly CacheKind[],
  moved: boolean,
): Graph {
  const { blockSize, heads } = config;
  const size = headSize(config);
  const total = parts.reduce((sum, { blocks }) => sum + blocks.length, 0);
  const places = [total * blockSize, size];
  const rope = { cos: input('cos', places), sin: input('sin', places) };
  const picked = (kind: CacheKind, layer: number): SymbolicTensor => {
    const pieces = parts.flatMap(({ held, blocks }, i) => {
      const cache = input(`${i}.${numbered(kind, layer)}`, ['samples', heads, held * blockSize, size]);
      return runsOf(blocks).map(({ start, end }) => slice(cache, 2, start * blockSize, end * blockSize));
    });
    return pieces.length === 1 ? at(pieces, 0) : concat(pieces, 2);
  };
  return ofLayers(config, (layer) => {
    if (!moved) return ofKinds(kinds, (kind) => picked(kind, layer));
    const plainKeys = picked('plainKeys', layer);
    return { keys: rotate(plainKeys, rope), values: picked('values', layer), plainKeys };
  });
}

type OfKinds<Kind extends CacheKind> = Readonly<Record<Kind, SymbolicTensor>>;

function ofKinds<Kind extends CacheKind>(
  kinds: readonly Kind[],
  make: (kind: Kind) => SymbolicTensor,
): OfKinds<Kind> {
  return Object.fromEntries(kinds.map((kind) => [kind, make(kind)])) as OfKinds<Kind>;
}

/** The graph of what is made of each layer's cache. */
function ofLayers({ layers }: AcditConfig, make: (layer: number) => Partial<OfKinds<CacheKind>>): Graph {
  const outputs = Array.from({ length: layers }, (_, layer) =>
    Object.entries(make(layer)).map(([kind, symbol]) => [numbered(kind, layer), symbol] as const),
  );
  return graphOf(Object.fromEntries(outputs.flat()));
}
