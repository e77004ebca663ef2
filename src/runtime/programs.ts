/** @file What both builds of ONNX Runtime, Node's and the browser's, have in common: from graphs to programs that run. */

import type * as ort from 'onnxruntime-web';
import { get } from '../at.ts';
import { messageOf } from '../attempt.ts';
import { DeviceError } from '../errors.ts';
import { encodeOnnx, type Graph, isExternal } from '../graph/onnx.ts';
import { matmul } from '../graph/operators/linear-algebra.ts';
import { input, inputName, type Shape, type SymbolicTensor, showShape } from '../graph/symbolic.ts';
import type { StoredFile } from '../io/byte-source.ts';
import { mapValues } from '../records.ts';
import { createSemaphore, type Semaphore } from '../semaphore.ts';
import { type DType, float32, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import type {
  BoundWeights,
  Device,
  DeviceTensor,
  Feeds,
  KeepingProgram,
  Program,
  Results,
} from './device.ts';
import { withWeightsInFiles } from './file-weights.ts';

export type Session = ort.InferenceSession;
export type SessionOptions = ort.InferenceSession.SessionOptions;
export type RuntimeTensor = ort.Tensor;
export type OutputType = Pick<SymbolicTensor, 'shape'> & { readonly dtype: DType };

type DeviceFeeds = Parameters<KeepingProgram['run']>[0];

/** A build of ONNX Runtime, and how it is used best. */
export interface Runtime
  extends Pick<Device, 'name' | 'threads' | 'separateMemory'>,
    Partial<Pick<Device, 'keepsTensors' | 'fusesAttention' | 'takesEmpty'>> {
  /** Both builds offer the same two classes. */
  readonly ort: Pick<typeof ort, 'InferenceSession' | 'Tensor'>;
  /** Options that not all runtimes have. @param bound whether the program has weights of its own. */
  options(bound: boolean): SessionOptions;
  /** Fills the outputs that have a place in `into`, and makes the others. */
  run(
    session: Session,
    feeds: Record<string, RuntimeTensor>,
    outputs: ReadonlyMap<string, OutputType>,
    into: Feeds,
  ): Promise<Record<string, Tensor>>;
  /** Whether weights can be taken from files. */
  readonly mapsFiles?: boolean;
  /** The graph as this runtime computes it rightly, with at least its outputs; by default as it is. */
  adapt?(graph: Graph): Graph;
}

/**
 * Makes a device that compiles and runs with `runtime`, one thing at a time: two runs at once crash WebGPU and split the
 * threads of a CPU, and a program is freed only after its last run.
 */
export function createDevice(runtime: Runtime): Device {
  const sessions = new Set<OpenSession>();
  const exclusively = createSemaphore(1);
  const { name, threads, separateMemory } = runtime;
  const { keepsTensors = false, fusesAttention = false, takesEmpty = true } = runtime;
  async function open(original: Graph, bound: BoundWeights, kept?: readonly string[]): Promise<OpenSession> {
    const graph = runtime.adapt?.(original) ?? original;
    const inputs = unboundShapes(graph, bound);
    const session = await createSession(runtime, exclusively, graph, bound, kept);
    const opened = openSession(runtime, session, inputs, outputTypes(original), exclusively, () =>
      sessions.delete(opened),
    );
    sessions.add(opened);
    return opened;
  }
  return {
    name,
    threads,
    separateMemory,
    keepsTensors,
    fusesAttention,
    takesEmpty,
    compile: async (graph, bound = {}) => programOf(await open(graph, bound)),
    compileKeeping: async (graph, bound, kept) => keepingProgramOf(await open(graph, bound, kept), kept),
    async dispose() {
      for (const session of [...sessions]) await session.dispose();
    },
  };
}

/**
 * A function of its own, so that no closure of the program keeps the bound weights alive.
 * @param kept outputs that the program keeps, if it is to keep any
 */
async function createSession(
  runtime: Runtime,
  exclusively: Semaphore,
  graph: Graph,
  bound: BoundWeights,
  kept: readonly string[] | undefined,
): Promise<Session> {
  const options = sessionOptions(runtime, graph, bound, kept);
  const create = (bytes: Uint8Array, own: SessionOptions): Promise<Session> =>
    exclusively(() => runtime.ort.InferenceSession.create(bytes, { ...options, ...own }));
  const stored = runtime.mapsFiles ? withWeightsInFiles(graph, bound) : undefined;
  if (stored) {
    const session = await create(encodeOnnx(stored.graph, stored.bound), {
      extra: withConfig(options, { model_external_initializers_file_folder_path: stored.folder }),
    }).catch(() => undefined);
    if (session && (await areUnchanged(stored.files))) return session;
    await session?.release();
  }
  // Bound tensors that the message only names. ONNX Runtime has copied them once the session is there.
  const externalData = Object.entries(bound)
    .filter(([, value]) => isExternal(value))
    .map(([path, value]) => ({ path, data: tensorBytes(value) }));
  return create(encodeOnnx(graph, bound), { externalData }).catch((cause) => {
    throw new DeviceError(`ONNX Runtime refused a program: ${messageOf(cause)}`, { cause });
  });
}

async function areUnchanged(files: readonly StoredFile[]): Promise<boolean> {
  for (const file of files) if (!(await file.isUnchanged())) return false;
  return true;
}

/** The `extra` of options with some more entries of a session's configuration. */
function withConfig(
  { extra }: SessionOptions,
  more: Readonly<Record<string, string>>,
): Record<string, unknown> {
  return { ...extra, session: { ...(extra?.session as object), ...more } };
}

function sessionOptions(
  runtime: Runtime,
  graph: Graph,
  bound: BoundWeights,
  kept: readonly string[] | undefined,
): SessionOptions {
  const options = runtime.options(Object.keys(bound).length > 0);
  const staying = runtime.keepsTensors ? kept : undefined;
  return {
    ...options,
    // A memory pattern is one block for the whole run: 1.5 GB more on a training graph.
    enableMemPattern: false,
    extra: {
      ...withConfig(options, staying ? { disable_cpu_ep_fallback: '1' } : {}),
      // Where a graph transposes before a product, it is because that is faster.
      optimization: { disable_specified_optimizers: 'GemmTransposeFusion;MatmulTransposeFusion' },
    },
    // Errors are thrown, so they need not be printed too.
    logSeverityLevel: 4,
    ...(staying && {
      preferredOutputLocation: mapValues(graph.outputs, (_, name) =>
        staying.includes(name) ? ('gpu-buffer' as const) : ('cpu' as const),
      ),
    }),
  };
}

/** A session, and what is needed to run it. */
interface OpenSession extends Pick<KeepingProgram, 'inputNames' | 'dispose'> {
  readonly runtime: Runtime;
  readonly outputs: ReadonlyMap<string, OutputType>;
  /** Runs when nothing else does, with feeds that fit. */
  run<T>(
    feeds: DeviceFeeds,
    work: (session: Session, feeds: Record<string, RuntimeTensor>) => Promise<T>,
  ): Promise<T>;
}

function openSession(
  runtime: Runtime,
  session: Session,
  inputs: ReadonlyMap<string, Shape>,
  outputs: ReadonlyMap<string, OutputType>,
  exclusively: Semaphore,
  onDispose: () => void,
): OpenSession {
  let disposed = false;
  return {
    runtime,
    inputNames: session.inputNames,
    outputs,
    async run(feeds, work) {
      if (disposed) throw new DeviceError('run: the program was disposed; compile it again');
      checkFeeds(feeds, inputs);
      const given = mapValues(feeds, (feed) =>
        feed instanceof KeptTensor ? feed.value : runtimeTensor(runtime.ort, feed as Tensor),
      );
      return exclusively(() => work(session, given));
    },
    async dispose() {
      if (disposed) return;
      disposed = true;
      onDispose();
      await exclusively(() => session.release());
    },
  };
}

function programOf(session: OpenSession): Program {
  const { runtime, inputNames, outputs, dispose } = session;
  return {
    inputNames,
    outputNames: [...outputs.keys()],
    async run(feeds, into = {}) {
      const stray = Object.keys(into).find((name) => !outputs.has(name));
      if (stray !== undefined) throw new DeviceError(`run: the program has no output '${stray}'`);
      return session.run(feeds, (opened, given) => runtime.run(opened, given, outputs, into));
    },
    dispose,
  };
}

function keepingProgramOf(session: OpenSession, kept: readonly string[]): KeepingProgram {
  const { runtime, inputNames, outputs, dispose } = session;
  return {
    inputNames,
    async run(feeds, wanted) {
      // Where outputs have a place, ONNX Runtime wants to fill all of them.
      const names = runtime.keepsTensors ? [...outputs.keys()] : wanted;
      const made = await session
        .run(feeds, (opened, given) => opened.run(given, names))
        .catch((cause) => {
          throw cause instanceof DeviceError ? cause : runFailure(cause);
        });
      const results: Results = { outputs: {}, kept: {} };
      for (const [name, value] of Object.entries(made)) {
        if (!wanted.includes(name)) value.dispose();
        else if (kept.includes(name)) results.kept[name] = new KeptTensor(readable(value));
        else results.outputs[name] = fromRuntime(value);
      }
      return results;
    },
    dispose,
  };
}

/** A tensor of ONNX Runtime, wherever it is. */
class KeptTensor implements DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  #value: RuntimeTensor | undefined;

  constructor(value: RuntimeTensor) {
    this.dtype = value.type as DType;
    this.shape = value.dims;
    this.#value = value;
  }

  /** @throws {DeviceError} if it was disposed of */
  get value(): RuntimeTensor {
    if (!this.#value) throw new DeviceError('run: a tensor of the device was disposed of before');
    return this.#value;
  }

  dispose(): void {
    this.#value?.dispose();
    this.#value = undefined;
  }
}

/** What a failed run throws. */
export function runFailure(cause: unknown): DeviceError {
  return new DeviceError(`ONNX Runtime could not run a program: ${messageOf(cause)}`, { cause });
}

/** Shapes of the inputs that are still to be fed. @throws {DeviceError} if a bound one is unknown or does not fit. */
function unboundShapes(graph: Graph, bound: Feeds): Map<string, Shape> {
  const shapes = new Map(graph.inputs.map((symbol) => [inputName(symbol), symbol.shape]));
  for (const [name, value] of Object.entries(bound)) {
    const shape = shapes.get(name);
    if (!shape) throw new DeviceError(`compile: the program has no input '${name}' to bind`);
    requireFit('compile', name, value, shape);
    shapes.delete(name);
  }
  return shapes;
}

function outputTypes({ outputs }: Graph): Map<string, OutputType> {
  return new Map(
    Object.entries(outputs).map(([name, { dtype, shape }]) => [name, { dtype: dtype as DType, shape }]),
  );
}

function requireFit(action: string, name: string, value: Tensor | DeviceTensor, shape: Shape): void {
  const fits =
    value.shape.length === shape.length &&
    shape.every((dim, axis) => typeof dim === 'string' || dim === value.shape[axis]);
  if (fits) return;
  throw new DeviceError(
    `${action}: input '${name}' must have shape ${showShape(shape)}, got ${showShape(value.shape)}`,
  );
}

function checkFeeds(feeds: DeviceFeeds, shapes: ReadonlyMap<string, Shape>): void {
  for (const [name, shape] of shapes) {
    const feed = feeds[name];
    if (!feed) throw new DeviceError(`run: input '${name}' ${showShape(shape)} was not given`);
    requireFit('run', name, feed, shape);
  }
  const unknown = Object.keys(feeds).find((name) => !shapes.has(name));
  if (unknown !== undefined) throw new DeviceError(`run: the program has no input '${unknown}'`);
}

/** @throws {DeviceError} if shape and data do not fit together. */
export function runtimeTensor(runtime: Runtime['ort'], { dtype, shape, data }: Tensor): RuntimeTensor {
  try {
    return readable(new runtime.Tensor(dtype as 'float32', data as Float32Array, shape));
  } catch (cause) {
    throw runFailure(cause);
  }
}

export function fromRuntime(value: RuntimeTensor): Tensor {
  return { dtype: value.type as DType, shape: value.dims, data: readable(value).data as Float32Array };
}

/**
 * Makes the data of half floats on the host a `Uint16Array`, in place. Where JavaScript has `Float16Array`, ONNX Runtime uses
 * it, although its binding for Node cannot read it.
 */
function readable(tensor: RuntimeTensor): RuntimeTensor {
  if (tensor.type !== 'float16' || tensor.location !== 'cpu' || tensor.data instanceof Uint16Array)
    return tensor;
  const { buffer, byteOffset, length } = tensor.data as unknown as Uint16Array<ArrayBuffer>;
  return Object.defineProperty(tensor, 'data', { value: new Uint16Array(buffer, byteOffset, length) });
}

/**
 * A run whose results are copied to their places, for a runtime that does not fill the caller's memory.
 * @throws {DeviceError} if the run fails, or an output is not a tensor of its place's shape.
 */
export const runAndCopy: Runtime['run'] = async (session, feeds, outputs, into) => {
  const results = await session.run(feeds).catch((cause) => {
    throw runFailure(cause);
  });
  return Object.fromEntries(
    [...outputs.keys()].map((name) => [name, placed(name, fromRuntime(get(results, name)), into[name])]),
  );
};

function placed(name: string, result: Tensor, place: Tensor | undefined): Tensor {
  if (!place) return result;
  if (place.dtype !== result.dtype || place.shape.join() !== result.shape.join()) {
    throw new DeviceError(
      `run: output '${name}' has shape ${showShape(result.shape)}, which is not that of its place, ${showShape(place.shape)}`,
    );
  }
  (place.data as Float32Array).set(result.data as Float32Array);
  return place;
}

/**
 * Run a product on a device that may only pretend to work, and return the device.
 * @throws {DeviceError} if it fails, or gives a wrong result; the device is then disposed of.
 */
export async function requireWorking(device: Device): Promise<Device> {
  const [a, b] = [input('a', [2, 2]), input('b', [2, 2])];
  try {
    const program = await device.compile({ inputs: [a, b], outputs: { product: matmul(a, b) } });
    const outputs = await program.run({
      a: float32([2, 2], [1, 2, 3, 4]),
      b: float32([2, 2], [5, 6, 7, 8]),
    });
    await program.dispose();
    const product = get(outputs, 'product').data.join();
    if (product !== '19,22,43,50') throw new DeviceError(`a product came out as ${product}`);
    return device;
  } catch (cause) {
    await device.dispose();
    throw new DeviceError(`device ${device.name} is not available here (${lastLine(cause)}); use another`, {
      cause,
    });
  }
}

/** The end of the last line of a message: ONNX Runtime begins with where in its source it happened. */
function lastLine(cause: unknown): string {
  const line = messageOf(cause).trim().split('\n').at(-1) ?? '';
  return line.replace(/^.*(?: was false\.|Error:|ONNX Runtime refused a program:) */, '').replace(/\.$/, '');
}
