/**
 * @file The engine for devices with memory of their own, such as GPUs. Weights are part of its programs, each of as many
 * layers as fit; hidden vectors and the cache stay on the device where it can keep them. Tokens, modulations and tables go
 * there once per pass, and the predicted noise comes back, so what crosses does not grow with the layers.
 */

import { at, get } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { fuseAttention } from '../graph/fuse-attention.ts';
import type { Graph } from '../graph/onnx.ts';
import { type AcditConfig, headSize, passConfig } from '../models/acdit/config.ts';
import { createPositions, type Positions, tablesOf } from '../models/acdit/rope.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import { filterKeys, mapValues } from '../records.ts';
import { attendsRightly } from '../runtime/attention-kernel.ts';
import type { Device, DeviceTensor, KeepingProgram } from '../runtime/device.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import type { Cache, CacheBlocks } from './cache.ts';
import { rowFeeds, tokenRows } from './device-feeds.ts';
import {
  arrangeGraph,
  CACHE_KINDS,
  type CacheKind,
  extendGraph,
  isCached,
  joinGraph,
  type Part,
  partGraph,
  partsOf,
  uploadGraph,
} from './device-graphs.ts';
import { numbered } from './graphs.ts';
import {
  type Arrangement,
  type PassEngine,
  type PassResult,
  rowCount,
  type Sequence,
} from './pass-engine.ts';
import { preparation } from './precision.ts';
import { type CompileOptions, graphWeights, type WeightSource } from './segments.ts';

/** The cache in the device's memory: tensors by layer. */
export interface DeviceCache extends Cache {
  readonly keys: readonly DeviceTensor[];
  readonly values: readonly DeviceTensor[];
  readonly plainKeys?: readonly DeviceTensor[];
}

type Feeds = Parameters<KeepingProgram['run']>[0];

/** A program of some layers. */
interface CompiledPart extends Part {
  readonly program: KeepingProgram;
}

/**
 * Bytes of float32 weights of a program. While it is compiled its weights are also in the host's memory, up to three
 * times, so where hidden vectors stay on the device, programs are small.
 */
const KEPT_PART_BYTES = 256e6;
/** Elsewhere hidden vectors cross between programs, so those hold as much as a program may. */
const CROSSING_PART_BYTES = 2e9;

export interface DeviceEngineOptions extends CompileOptions {
  /** Bytes of weights that a program may have. */
  readonly partBytes?: number | undefined;
}

/** Compiles the model. */
export async function openDeviceEngine(
  device: Device,
  model: AcditConfig,
  source: WeightSource,
  { partBytes, precision = 'fp32', signal, onProgress }: DeviceEngineOptions = {},
): Promise<PassEngine<DeviceCache>> {
  const config = passConfig(model);
  const prepare = await preparation(device, precision, isCached);
  const fuses =
    device.fusesAttention &&
    (await attendsRightly(
      device,
      config.blockSize,
      headSize(config),
      precision === 'fp16' ? 'fp16' : 'fp32',
    ));
  const parts = partsOf(config, partBytes ?? (device.keepsTensors ? KEPT_PART_BYTES : CROSSING_PART_BYTES));
  const compile = async (graph: Graph): Promise<KeepingProgram> => {
    const fused = fuses ? fuseAttention(graph) : graph;
    const bound = prepare({ graph: fused, weights: await graphWeights(graph, source) });
    const kept = Object.keys(graph.outputs).filter((name) => name !== 'noise');
    return device.compileKeeping(bound.graph, bound.weights, kept);
  };
  async function compileParts(past: boolean): Promise<CompiledPart[]> {
    const compiled: CompiledPart[] = [];
    for (const [index, part] of parts.entries()) {
      signal?.throwIfAborted();
      compiled.push({ ...part, program: await compile(partGraph(config, part, past)) });
      onProgress?.((index + 1) / parts.length);
    }
    return compiled;
  }
  const engine = new DeviceEngine(
    model,
    device,
    compile,
    compileParts,
    precision === 'fp16' ? 'float16' : 'float32',
  );
  await engine.parts(true);
  return engine;
}

class DeviceEngine implements PassEngine<DeviceCache> {
  readonly #config: AcditConfig;
  readonly #device: Device;
  readonly #compile: (graph: Graph) => Promise<KeepingProgram>;
  readonly #compileParts: (past: boolean) => Promise<CompiledPart[]>;
  /** The type of what is cached. */
  readonly #dtype: 'float16' | 'float32';
  readonly #positions: Positions;
  readonly #parts = new Map<boolean, Promise<CompiledPart[]>>();
  /** Programs without weights, compiled when they are first needed. */
  readonly #programs = new Map<string, Promise<KeepingProgram>>();
  readonly #caches = new Set<DeviceCache>();
  /** The caches that were last attended together: the same calls often share pass after pass. */
  #joined: { readonly caches: readonly DeviceCache[]; readonly whole: DeviceCache } | undefined;

  constructor(
    model: AcditConfig,
    device: Device,
    compile: (graph: Graph) => Promise<KeepingProgram>,
    compileParts: (past: boolean) => Promise<CompiledPart[]>,
    dtype: 'float16' | 'float32',
  ) {
    this.#config = passConfig(model);
    this.#device = device;
    this.#compile = compile;
    this.#compileParts = compileParts;
    this.#dtype = dtype;
    this.#positions = createPositions(model);
  }

  /** Compiles the parts, once. A device that takes empty caches needs only those that attend one. */
  parts(past: boolean): Promise<CompiledPart[]> {
    const kind = past || this.#device.takesEmpty;
    const parts = this.#parts.get(kind) ?? this.#compileParts(kind);
    this.#parts.set(kind, parts);
    return parts;
  }

  async run(
    sequences: readonly Sequence<DeviceCache>[],
    mayStop: () => void,
  ): Promise<PassResult<DeviceCache>[]> {
    const results = new Map<Sequence, PassResult<DeviceCache>>();
    for (const group of alikeTogether(sequences)) {
      const [first] = group;
      const made = first?.noised ? await this.#denoise(group, mayStop) : await this.#append(group, mayStop);
      for (const [i, result] of made.entries()) results.set(at(group, i), result);
    }
    return sequences.map((sequence) => results.get(sequence)!);
  }

  async mayShare(): Promise<boolean> {
    return true;
  }

  async arrange(
    parts: readonly CacheBlocks<DeviceCache>[],
    { place, places }: Arrangement,
  ): Promise<DeviceCache> {
    const sliding = parts.every(({ cache }) => cache.plainKeys);
    if (places && !sliding) throw new ArgumentError('arrange: the cache keeps no keys before rotation');
    const kinds = CACHE_KINDS.filter((kind) => kind !== 'plainKeys' || sliding);
    const read = kinds.filter((kind) => kind !== 'keys' || !places);
    const shape = parts.map(({ cache, blocks }) => ({ held: cache.blocks, blocks }));
    const program = await this.#program(`arrange ${JSON.stringify(shape)} ${read}`, () =>
      arrangeGraph(this.#config, shape, kinds, places !== undefined),
    );
    const feeds = parts.map(({ cache }, i) => prefixed(`${i}.`, namedTensors(cache, read)));
    const tables = places && tablesOf(this.#positions, places);
    const { kept } = await program.run(Object.assign({ ...tables }, ...feeds), cacheNames(kinds, this.#all));
    const blocks = parts.reduce((sum, part) => sum + part.blocks.length, 0);
    return this.#cacheOf({ blocks, place }, kinds, kept);
  }

  async dispose(): Promise<void> {
    for (const cache of this.#caches) cache.dispose?.();
    for (const parts of this.#parts.values()) for (const { program } of await parts) await program.dispose();
    for (const program of this.#programs.values()) await (await program).dispose();
  }

  get #all(): Part {
    return { first: 0, end: this.#config.layers };
  }

  #program(key: string, build: () => Graph): Promise<KeepingProgram> {
    const program = this.#programs.get(key) ?? this.#compile(build());
    this.#programs.set(key, program);
    return program;
  }

  /** Predicts the noise of blocks at the same place, after equally many cached ones. */
  async #denoise(
    sequences: readonly Sequence<DeviceCache>[],
    mayStop: () => void,
  ): Promise<PassResult<DeviceCache>[]> {
    const cache = await this.#together(sequences.map((sequence) => sequence.cache));
    const { noise } = await this.#pass(sequences, cache, [], mayStop);
    let start = 0;
    return sequences.map((sequence) => {
      const { latents, cache } = sequence;
      const rows = rowCount(sequence);
      const { data } = rowsOf(noise as Tensor<'float32'>, start, start + rows);
      start += rows;
      return { noise: float32([rows / at(latents.shape, 0), ...latents.shape], data), cache };
    });
  }

  /** Appends a finished block to its cache. */
  async #append(
    [sequence]: readonly Sequence<DeviceCache>[],
    mayStop: () => void,
  ): Promise<PassResult<DeviceCache>[]> {
    const { cache, latents } = sequence!;
    const kinds = CACHE_KINDS.filter((kind) => kind !== 'plainKeys' || cache.plainKeys);
    const noise = float32([0, ...latents.shape], []);
    const { own } = await this.#pass([sequence!], cache, kinds, mayStop);
    const extended = { blocks: cache.blocks + 1, place: cache.place + 1 };
    if (cache.blocks === 0) return [{ noise, cache: this.#cacheOf(extended, kinds, own) }];
    try {
      const program = await this.#program(`extend ${kinds}`, () => extendGraph(this.#config, kinds));
      const feeds = { ...pastFeeds(cache, kinds), ...prefixed('own.', own) };
      const { kept } = await program.run(feeds, cacheNames(kinds, this.#all));
      return [{ noise, cache: this.#cacheOf(extended, kinds, kept) }];
    } finally {
      disposeAll(own);
    }
  }

  /**
   * Runs all parts for the rows of some sequences.
   * @param cache that of all their samples
   * @param kinds what is wanted of the block's own keys and values; if nothing, the noise is
   */
  async #pass(
    sequences: readonly Sequence[],
    cache: DeviceCache,
    kinds: readonly CacheKind[],
    mayStop: () => void,
  ): Promise<{ noise: Tensor | undefined; own: Record<string, DeviceTensor> }> {
    const parts = await this.parts(cache.blocks > 0);
    const own: Record<string, DeviceTensor> = {};
    const passing: Record<string, DeviceTensor> = {};
    try {
      const shared = await this.#shared(sequences, cache.place, parts.length, passing);
      const past = cache.blocks > 0 ? pastFeeds(cache, ['keys', 'values']) : this.#emptyPast(sequences);
      const tokens = tokenRows(this.#config, sequences);
      let noise: Tensor | undefined;
      for (const part of parts) {
        mayStop();
        const { program, end } = part;
        const result = end < this.#config.layers ? numbered('hidden', end) : 'noise';
        const wanted = [
          ...(result !== 'noise' || kinds.length === 0 ? [result] : []),
          ...cacheNames(kinds, part),
        ];
        const feeds: Feeds = { ...shared, ...past, tokens, ...passing };
        const { outputs, kept } = await program.run(
          filterKeys(feeds, (name) => program.inputNames.includes(name)),
          wanted,
        );
        passing[numbered('hidden', part.first)]?.dispose();
        Object.assign(own, filterKeys(kept, isCached));
        Object.assign(
          passing,
          filterKeys(kept, (name) => name === result),
        );
        noise = outputs.noise;
      }
      return { noise, own };
    } catch (error) {
      disposeAll(own);
      throw error;
    } finally {
      disposeAll(passing);
    }
  }

  /** What a pass takes once; where several parts take it, it stays on the device until they have run. */
  async #shared(
    sequences: readonly Sequence[],
    place: number,
    parts: number,
    passing: Record<string, DeviceTensor>,
  ): Promise<Feeds> {
    const feeds = { ...this.#positions(place), ...rowFeeds(this.#config, sequences) };
    if (parts === 1 || !this.#device.keepsTensors) return feeds;
    const program = await this.#program('upload', () => uploadGraph(this.#config));
    const { kept } = await program.run(feeds, Object.keys(prefixed('kept.', feeds)));
    Object.assign(passing, kept);
    return mapValues(feeds, (_, name) => get(kept, `kept.${name}`));
  }

  /** A cache of no blocks, for all layers. */
  #emptyPast(sequences: readonly Sequence[]): Feeds {
    if (!this.#device.takesEmpty) return {};
    const samples = sequences.reduce((sum, { latents }) => sum + at(latents.shape, 0), 0);
    const empty = zeros(this.#dtype, [samples, this.#config.heads, 0, headSize(this.#config)]);
    return Object.fromEntries(
      cacheNames(['keys', 'values'], this.#all).map((name) => [`past.${name}`, empty]),
    );
  }

  /** One cache of the samples of several. */
  async #together(caches: readonly DeviceCache[]): Promise<DeviceCache> {
    const [first] = caches;
    if (!first || caches.length === 1 || first.blocks === 0) return first!;
    const joined = this.#joined;
    if (joined?.caches.length === caches.length && joined.caches.every((cache, i) => cache === caches[i])) {
      return joined.whole;
    }
    joined?.whole.dispose?.();
    const kinds = ['keys', 'values'] as const;
    const program = await this.#program(`join ${caches.length}`, () =>
      joinGraph(this.#config, caches.length),
    );
    const feeds = caches.map((cache, i) => prefixed(`${i}.`, namedTensors(cache, kinds)));
    const { kept } = await program.run(Object.assign({}, ...feeds), cacheNames(kinds, this.#all));
    const whole = this.#cacheOf(first, kinds, kept);
    this.#joined = { caches, whole };
    return whole;
  }

  #cacheOf(
    { blocks, place }: Pick<Cache, 'blocks' | 'place'>,
    kinds: readonly CacheKind[],
    tensors: Record<string, DeviceTensor>,
  ): DeviceCache {
    const byLayer = (kind: CacheKind): DeviceTensor[] =>
      cacheNames([kind], this.#all).map((name) => get(tensors, name));
    const cache: DeviceCache = {
      blocks,
      place,
      keys: byLayer('keys'),
      values: byLayer('values'),
      ...(kinds.includes('plainKeys') && { plainKeys: byLayer('plainKeys') }),
      dispose: () => {
        this.#caches.delete(cache);
        disposeAll(tensors);
        // A copy for another place has the same tensors.
        const joined = this.#joined;
        if (!joined?.caches.some(({ keys }) => keys === cache.keys)) return;
        joined.whole.dispose?.();
        this.#joined = undefined;
      },
    };
    this.#caches.add(cache);
    return cache;
  }
}

/** Divides sequences into those that are denoised at the same place, and single ones that join their caches. */
function alikeTogether(sequences: readonly Sequence<DeviceCache>[]): Sequence<DeviceCache>[][] {
  const groups = new Map<string | Sequence, Sequence<DeviceCache>[]>();
  for (const sequence of sequences) {
    const { blocks, place } = sequence.cache;
    const kind = sequence.noised ? `${blocks} ${place}` : sequence;
    groups.set(kind, [...(groups.get(kind) ?? []), sequence]);
  }
  return [...groups.values()];
}

/** Names of what some layers cache. */
function cacheNames(kinds: readonly CacheKind[], { first, end }: Part): string[] {
  return kinds.flatMap((kind) => Array.from({ length: end - first }, (_, i) => numbered(kind, first + i)));
}

function namedTensors(cache: DeviceCache, kinds: readonly CacheKind[]): Record<string, DeviceTensor> {
  return Object.fromEntries(
    kinds.flatMap((kind) => (cache[kind] ?? []).map((value, layer) => [numbered(kind, layer), value])),
  );
}

function pastFeeds(cache: DeviceCache, kinds: readonly CacheKind[]): Record<string, DeviceTensor> {
  return prefixed('past.', namedTensors(cache, kinds));
}

function prefixed<Value>(prefix: string, values: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function disposeAll(tensors: Readonly<Record<string, DeviceTensor>>): void {
  for (const value of Object.values(tensors)) value.dispose();
}
