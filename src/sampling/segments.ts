/** @file The trunk's segments, compiled with their weights, and the weights they take. */

import type { AcditConfig } from '../models/acdit/config.ts';
import { layerParameters, layerWeights, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import { FINAL_WEIGHTS, segmentGraph } from './graphs.ts';

/**
 * Gives a parameter by its official name, from memory or from a file.
 * @param room memory that may hold it: its owner reads it before it asks for the next into the same room.
 */
export type WeightSource = (name: string, room?: Uint8Array) => Promise<Tensor<'float32'>>;

/** A source over weights in memory. */
export function weightsInMemory(weights: Weights): WeightSource {
  return async (name) => weights.get(name)!;
}

export interface CompileOptions {
  readonly signal?: AbortSignal | undefined;
  /** Gets the share done, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/**
 * Compile all segments, one after the other. Each program holds its own copy of its weights, arranged for the matrix
 * kernels, so of weights that come from a file there is never more than one layer beside it.
 */
export async function compileSegments(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
  { signal, onProgress }: CompileOptions = {},
): Promise<Program[]> {
  const programs: Program[] = [];
  const rooms = [layerRooms(config), layerRooms(config)] as const;
  let ending: Feeds = {};
  for (let index = 0; index <= config.layers; index++) {
    signal?.throwIfAborted();
    const beginning = index < config.layers ? await readLayer(source, index, rooms[index % 2]) : {};
    const outer = index === 0 ? ['x_embedder.weight'] : index === config.layers ? FINAL_WEIGHTS : [];
    const bound = {
      ...renamed(ending, 'end.'),
      ...renamed(beginning, 'begin.'),
      ...(await readNamed(source, outer)),
    };
    programs.push(await compileSegment(device, config, index, bound));
    ending = beginning;
    onProgress?.((index + 1) / (config.layers + 1));
  }
  return programs;
}

async function compileSegment(
  device: Device,
  config: AcditConfig,
  index: number,
  available: Feeds,
): Promise<Program> {
  const graph = segmentGraph(config, index);
  const names = graph.inputs.flatMap(({ source }) => (source.kind === 'input' ? [source.name] : []));
  const bound = Object.fromEntries(
    names.filter((name) => name in available).map((name) => [name, available[name]]),
  );
  return device.compile(graph, bound);
}

/**
 * Memory for each weight of a layer but its modulation, by its name in the layer. Two layers at a time are there, and
 * every other one is read into the same memory: new arrays for each would leave the heap in pieces half as large as
 * the model.
 */
function layerRooms(config: AcditConfig): Map<string, Uint8Array> {
  const entries = layerParameters(config).filter(([name]) => !name.startsWith('adaLN'));
  return new Map(entries.map(([name, shape]) => [name, new Uint8Array(elementCount(shape) * 4)]));
}

async function readLayer(
  source: WeightSource,
  layer: number,
  rooms: ReadonlyMap<string, Uint8Array>,
): Promise<Feeds> {
  const weights = new Map<string, Tensor<'float32'>>();
  for (const [name, room] of rooms) {
    const fullName = `blocks.${layer}.${name}`;
    weights.set(fullName, await source(fullName, room));
  }
  return layerWeights(weights, layer);
}

async function readNamed(
  source: WeightSource,
  names: readonly string[],
): Promise<Record<string, Tensor<'float32'>>> {
  const entries: [string, Tensor<'float32'>][] = [];
  for (const name of names) entries.push([name, await source(name)]);
  return Object.fromEntries(entries);
}

function renamed(feeds: Feeds, prefix: string): Feeds {
  return Object.fromEntries(Object.entries(feeds).map(([name, value]) => [prefix + name, value]));
}
