/** @file ONNX Runtime on Node. The only file that imports it. */

import { availableParallelism } from 'node:os';
import * as ort from 'onnxruntime-node';
import { DeviceError } from '../errors.ts';
import { encodeOnnx, type Graph, isExternal } from '../graph/onnx.ts';
import { type Shape, type SymbolicTensor, showShape } from '../graph/symbolic.ts';
import { type DType, type Tensor, tensorBytes, zeros } from '../tensor/tensor.ts';
import type { Device, Feeds, Program } from './device.ts';

export interface DeviceOptions {
  /** CPU threads; all cores by default. */
  readonly threads?: number;
}

/** The CPU, through ONNX Runtime's own kernels. */
export function openCpu(options: DeviceOptions = {}): Device {
  const threads = options.threads ?? availableParallelism();
  const programs = new Set<Program>();
  return {
    name: 'cpu',
    threads,
    async compile(graph, bound = {}) {
      const program = await compile(
        graph,
        bound,
        sessionOptions(threads, Object.keys(bound).length === 0),
        () => programs.delete(program),
      );
      programs.add(program);
      return program;
    },
    async dispose() {
      for (const program of [...programs]) await program.dispose();
    },
  };
}

function sessionOptions(threads: number, arena: boolean): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A memory pattern is one block for the whole run: 1.5 GB more on a training graph.
    enableMemPattern: false,
    // Programs with weights come by the dozen: an arena for each would hold as much memory as the weights, and be cold
    // in the cache when its turn comes. The others are few and take large scores again and again.
    enableCpuMemArena: arena,
    // Many programs take turns: a pool that goes on spinning after its run would steal a core from the next.
    extra: {
      session: { force_spinning_stop: '1' },
      // Where a graph transposes before a product, it is because that is faster.
      optimization: { disable_specified_optimizers: 'GemmTransposeFusion;MatmulTransposeFusion' },
    },
    // Errors are thrown, so they need not be printed too.
    logSeverityLevel: 4,
  };
}

async function compile(
  graph: Graph,
  bound: Feeds,
  options: ort.InferenceSession.SessionOptions,
  onDispose: () => void,
): Promise<Program> {
  checkBound(graph, bound);
  const session = await createSession(encodeOnnx(graph, bound, NO_TENSOR), {
    ...options,
    externalData: externalData(bound),
  });
  const inputs = unboundShapes(graph, bound);
  const outputs = outputTypes(graph);
  let disposed = false;
  return {
    inputNames: session.inputNames,
    outputNames: [...outputs.keys()],
    async run(feeds, into = {}) {
      if (disposed) throw new DeviceError('run: the program was disposed; compile it again');
      checkFeeds(feeds, inputs);
      const stray = Object.keys(into).find((name) => !outputs.has(name));
      if (stray !== undefined) throw new DeviceError(`run: the program has no output '${stray}'`);
      return runSession(session, feeds, withRoom(outputs, into));
    },
    async dispose() {
      if (disposed) return;
      disposed = true;
      onDispose();
      await session.release();
    },
  };
}

/** A function of its own, so that no closure of the program keeps the bound weights alive. */
function unboundShapes(graph: Graph, bound: Feeds): Map<string, Shape> {
  return new Map(
    graph.inputs.flatMap(({ source, shape }): [string, Shape][] =>
      source.kind === 'input' && !Object.hasOwn(bound, source.name) ? [[source.name, shape]] : [],
    ),
  );
}

/** Bound tensors that the message only names. ONNX Runtime has copied them once the session is there. */
function externalData(bound: Feeds): { path: string; data: Uint8Array }[] {
  return Object.entries(bound)
    .filter(([, value]) => isExternal(value))
    .map(([path, value]) => ({ path, data: tensorBytes(value) }));
}

async function createSession(
  bytes: Uint8Array,
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(bytes, options);
  } catch (cause) {
    throw new DeviceError(`ONNX Runtime refused a program: ${(cause as Error).message}`, { cause });
  }
}

/**
 * An output of every program that is no tensor. ONNX Runtime fills the tensors it is given for outputs, and its binding
 * for Node then copies each into fresh memory to return it: 7 ms for 22 MB that took 0.4 ms to compute. It makes these
 * copies in the outputs' order and refuses one that is no tensor, so when that comes first and all others have a place,
 * nothing is copied. Should a binding accept it one day, results are the same.
 */
const NO_TENSOR = 'no tensor';
const REFUSAL = /non tensor type/i;

/** Run, with every output either in its place or null. */
async function runSession(
  session: ort.InferenceSession,
  feeds: Feeds,
  room: Record<string, Tensor | null>,
): Promise<Record<string, Tensor>> {
  const placed = Object.values(room).every((place) => place !== null);
  const fetches = Object.fromEntries(
    Object.entries(room).map(([name, place]) => [name, place && runtimeTensor(place)]),
  );
  let results: Record<string, ort.Tensor> = {};
  try {
    results = await session.run(toRuntime(feeds), placed ? { [NO_TENSOR]: null, ...fetches } : fetches);
  } catch (cause) {
    const { message } = cause as Error;
    if (!placed || !REFUSAL.test(message)) {
      throw new DeviceError(`ONNX Runtime could not run a program: ${message}`, { cause });
    }
  }
  return Object.fromEntries(
    Object.entries(room).map(([name, place]) => [name, place ?? fromRuntime(results[name])]),
  );
}

/** A place for every output: the caller's, a new one, or null where the shape is not known yet. */
function withRoom(outputs: ReadonlyMap<string, OutputType>, into: Feeds): Record<string, Tensor | null> {
  return Object.fromEntries(
    [...outputs].map(([name, { dtype, shape }]) => {
      const known = shape.every((dim) => typeof dim === 'number');
      return [name, into[name] ?? (known ? zeros(dtype, shape.map(Number)) : null)];
    }),
  );
}

type OutputType = Pick<SymbolicTensor, 'dtype' | 'shape'>;

function outputTypes({ outputs }: Graph): Map<string, OutputType> {
  return new Map(Object.entries(outputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
}

function requireFit(action: string, name: string, value: Tensor, shape: Shape): void {
  const fits =
    value.shape.length === shape.length &&
    shape.every((dim, axis) => typeof dim === 'string' || dim === value.shape[axis]);
  if (fits) return;
  throw new DeviceError(
    `${action}: input '${name}' must have shape ${showShape(shape)}, got ${showShape(value.shape)}`,
  );
}

function checkBound(graph: Graph, bound: Feeds): void {
  const shapes = unboundShapes(graph, {});
  for (const [name, value] of Object.entries(bound)) {
    const shape = shapes.get(name);
    if (!shape) throw new DeviceError(`compile: the program has no input '${name}' to bind`);
    requireFit('compile', name, value, shape);
  }
}

function checkFeeds(feeds: Feeds, shapes: ReadonlyMap<string, Shape>): void {
  for (const [name, shape] of shapes) {
    const feed = feeds[name];
    if (!feed) throw new DeviceError(`run: input '${name}' ${showShape(shape)} was not given`);
    requireFit('run', name, feed, shape);
  }
  const unknown = Object.keys(feeds).find((name) => !shapes.has(name));
  if (unknown !== undefined) throw new DeviceError(`run: the program has no input '${unknown}'`);
}

function toRuntime(tensors: Feeds): Record<string, ort.Tensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [name, runtimeTensor(value)]));
}

function runtimeTensor({ dtype, shape, data }: Tensor): ort.Tensor {
  return new ort.Tensor(dtype as 'float32', data as Float32Array, shape);
}

function fromRuntime(value: ort.Tensor): Tensor {
  return { dtype: value.type as DType, shape: value.dims, data: value.data as Float32Array };
}
