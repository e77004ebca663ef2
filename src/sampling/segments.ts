/** @file The model's segments, compiled with their weights, and the weights they take. */

import type { Graph } from '../graph/onnx.ts';
import { inputName } from '../graph/symbolic.ts';
import type { FilePlace } from '../io/byte-source.ts';
import { type AcditConfig, passConfig } from '../models/acdit/config.ts';
import { isWeight, parameters, storedName, type Weights, weightView } from '../models/acdit/weights.ts';
import type { BoundTensor, BoundWeights, Device, Program } from '../runtime/device.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import { segmentGraphs } from './graphs.ts';
import { isLayerWeight, type Precision, preparation } from './precision.ts';

const FLOAT_BYTES = 4;

/**
 * Returns a parameter by its official name, from memory or from a file.
 * @param buffer memory that may hold it: its owner reads it before it asks for the next into the same buffer.
 */
export interface WeightSource {
  (name: string, buffer?: Uint8Array): Promise<Tensor<'float32'>>;
  /** Where a parameter is on disk, in float32, if programs may read it there. */
  placeOf?(name: string): FilePlace | undefined;
}

/** Returns weights, in memory or not, as a source. */
export function asWeightSource(weights: Weights | WeightSource): WeightSource {
  return typeof weights === 'function' ? weights : async (name) => weights.get(name)!;
}

export interface CompileOptions {
  /**
   * Default: fp32. int8, on CPUs, takes a quarter of the memory and is faster on most; fp16, on GPUs, takes half the memory.
   * What they change is small.
   */
  readonly precision?: Precision | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Gets the share done, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/** Programs of all segments. */
export interface CompiledSegments {
  readonly programs: readonly Program[];
  /** How many of the weights of the layers' products are in float32. */
  readonly exactWeights: number;
}

/** Counts the weights of layers' products that are in float32. */
function countExact(weights: BoundWeights): number {
  return Object.entries(weights)
    .filter(([name, { dtype, shape }]) => isLayerWeight(name) && dtype === 'float32' && shape.length === 2)
    .reduce((sum, [, { shape }]) => sum + elementCount(shape), 0);
}

/**
 * Compile all segments, one after the other; while one is compiled, the weights of the next are read. Each program holds its
 * own copy of its weights, arranged for the matrix kernels, so weights from a file are in memory twice for at most two
 * segments at a time.
 */
export async function compileSegments(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
  { precision = 'fp32', signal, onProgress }: CompileOptions = {},
): Promise<CompiledSegments> {
  const prepare = await preparation(device, precision);
  const programs: Program[] = [];
  let exactWeights = 0;
  const read = intoSameMemory(config, source);
  const graphs = segmentGraphs(passConfig(config));
  const readWeights = (graph: Graph | undefined) => {
    const weights = graph && graphWeights(graph, read);
    weights?.catch(() => {}); // thrown where it is awaited, after the segment before is compiled
    return weights;
  };
  let reading = readWeights(graphs[0]);
  try {
    for (const [index, graph] of graphs.entries()) {
      signal?.throwIfAborted();
      const own = (await reading) ?? {};
      reading = readWeights(graphs[index + 1]);
      const { graph: prepared, weights } = prepare({ graph, weights: own });
      programs.push(await device.compile(prepared, weights));
      exactWeights += countExact(weights);
      onProgress?.((index + 1) / graphs.length);
    }
    return { programs, exactWeights };
  } catch (error) {
    await reading?.catch(() => {}); // its file may be closed next
    for (const program of programs) await program.dispose();
    throw error;
  }
}

/**
 * Returns segments that hold no weights: each reads its own whenever it runs. A pass takes longer than with compiled ones, but
 * no longer than compiling them, and the memory of one layer.
 */
export function streamedSegments(device: Device, config: AcditConfig, source: WeightSource): Program[] {
  const read = intoSameMemory(config, source);
  return segmentGraphs(passConfig(config)).map((graph) => ({
    inputNames: graph.inputs.map(inputName).filter((name) => !isWeight(name)),
    outputNames: Object.keys(graph.outputs),
    async run(feeds, into) {
      const program = await device.compile(graph);
      const results = await program.run({ ...feeds, ...(await graphWeights(graph, read)) }, into);
      await program.dispose();
      return results;
    },
    dispose: async () => {},
  }));
}

/**
 * Reads each layer's weights into the memory of the layer before the last, while the last one's are in use: new arrays for
 * each would leave the heap in pieces half as large as the model.
 */
function intoSameMemory(config: AcditConfig, source: WeightSource): WeightSource {
  const shapes = parameters(config);
  const buffers = new Map<string, Uint8Array>();
  const read: WeightSource = (name) => {
    const [, layer, nameInLayer] = /^blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
    const shape = shapes.get(name);
    if (nameInLayer === undefined || !shape) return source(name);
    const key = `${Number(layer) % 2} ${nameInLayer}`;
    const buffer = buffers.get(key) ?? new Uint8Array(FLOAT_BYTES * elementCount(shape));
    buffers.set(key, buffer);
    return source(name, buffer);
  };
  return Object.assign(read, { placeOf: source.placeOf });
}

/** Reads the weights that a graph takes, each parameter once; they come under their names in the graph. */
export async function graphWeights(
  { inputs }: Graph,
  source: WeightSource,
): Promise<Record<string, BoundTensor<'float32'>>> {
  const names = inputs.map(inputName).filter(isWeight);
  const stored = [...new Set(names.map(storedName))];
  const values = new Map<string, Tensor<'float32'>>();
  // All at once: a file's threads then read while this one compiles a program.
  await Promise.all(stored.map(async (name) => values.set(name, await source(name))));
  return Object.fromEntries(
    names.map((name) => {
      const whole = values.get(storedName(name))!;
      const view = weightView(name, whole);
      const place = source.placeOf?.(storedName(name));
      if (!place) return [name, view];
      const offset = place.offset + view.data.byteOffset - whole.data.byteOffset;
      return [name, { ...view, place: { ...place, offset } }];
    }),
  );
}
