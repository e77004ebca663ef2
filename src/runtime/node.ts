/** @file Devices on Node: the CPU, and GPUs through ONNX Runtime's native build. */

import type * as Ort from 'onnxruntime-web';
import { get } from '../at.ts';
import { messageOf } from '../attempt.ts';
import { ArgumentError, DeviceError } from '../errors.ts';
import { applyOne } from '../graph/symbolic.ts';
import { mapValues } from '../records.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import type { Device, Feeds } from './device.ts';
import { machine } from './machine.ts';
import { engine } from './node-engine.ts';
import {
  createDevice,
  fromRuntime,
  type OutputType,
  type Runtime,
  requireWorking,
  runAndCopy,
  runFailure,
  runtimeTensor,
  type SessionOptions,
} from './programs.ts';
import { forWebGpu } from './webgpu-graph.ts';

/** The version of ONNX Runtime, on which the last bits of results may depend. */
export const onnxRuntimeVersion: string = engine.version;

const { ort } = engine;

/** How a CPU is used. */
export interface DeviceOptions {
  /** CPU threads, at most 4 per core (default: one per core that this process may use). */
  readonly threads?: number | undefined;
}

/** More threads than this per core only cost memory. */
const THREADS_PER_CORE = 4;

/** @throws {ArgumentError} if there are none, or more than 4 per core. */
export function requireThreads(threads: number): void {
  const { cores } = machine();
  const most = THREADS_PER_CORE * cores;
  if (Number.isInteger(threads) && threads >= 1 && threads <= most) return;
  throw new ArgumentError(
    `threads must be a whole number from 1 to ${most} (${THREADS_PER_CORE} for each of ${cores} cores), got ${threads}`,
  );
}

function threadsOf({ threads = machine().cores }: DeviceOptions): number {
  requireThreads(threads);
  return threads;
}

/**
 * The CPU, through ONNX Runtime's own kernels; in WebAssembly if its native build is not installed, which prints a warning
 * once. @throws {ArgumentError} for more than 4 threads per core.
 */
export function openCpu(options: DeviceOptions = {}): Device {
  const threads = threadsOf(options);
  if (engine.kind === 'wasm') return openWasm(threads);
  const cpu: Runtime = {
    name: 'cpu',
    threads,
    separateMemory: false,
    ort,
    options: (bound) => ({
      ...sharedOptions(threads),
      executionProviders: ['cpu'],
      // Programs with weights come by the dozen: an arena for each would hold as much memory as the weights, and be
      // cold in the cache when its turn comes. The others are few and take large scores again and again.
      enableCpuMemArena: !bound,
    }),
    run: runInPlace,
    mapsFiles: true,
    adapt: ({ inputs, outputs }) => ({ inputs, outputs: { [NO_TENSOR]: noTensor, ...outputs } }),
  };
  return createDevice(cpu);
}

/** Set once the warning about the slower build was printed: processes that this one starts inherit it. */
const WARNED = 'ACDIT_WASM_WARNED';

function openWasm(threads: number): Device {
  if (engine.advice !== undefined && process.env[WARNED] === undefined) {
    process.env[WARNED] = '1';
    process.stderr.write(`acdit: ${engine.advice}\n`);
  }
  // Its threads are started with this process's arguments, and those of a program given as text stop them.
  const isText = process.execArgv.some((arg) => arg.startsWith('--input-type'));
  ort.env.wasm.numThreads = isText ? 1 : threads;
  return createDevice({
    name: 'wasm',
    threads,
    separateMemory: false,
    ort,
    options: () => ({ executionProviders: ['wasm'] }),
    run: runAndCopy,
  });
}

/** How long a thread waits for its part of the next operator before it sleeps; between two there is less. */
const SPIN_MICROSECONDS = '1000';

/** GPUs, by the library that ONNX Runtime reaches them through. */
export const ACCELERATORS = ['webgpu', 'cuda', 'coreml', 'dml'] as const;

/**
 * Opens a GPU; what its kernels do not cover runs on the CPU. WebGPU comes with ONNX Runtime, and is experimental on
 * Node; CUDA must be installed separately (Linux), CoreML is part of macOS, DirectML (`dml`) of Windows. One program
 * runs at a time: two at once crash WebGPU.
 * @throws {DeviceError} if there is no GPU, no driver, or no such library.
 */
export async function openAccelerator(
  name: (typeof ACCELERATORS)[number],
  options: DeviceOptions = {},
): Promise<Device> {
  // For an unknown name, ONNX Runtime prints a warning and uses the CPU.
  if (!ort.listSupportedBackends?.().some((backend) => backend.name === name)) {
    throw new DeviceError(`device ${name} is not available on this system; use another`);
  }
  // A library that is missing is an error that is thrown; ONNX Runtime would also print it.
  ort.env.logLevel = 'fatal';
  // NVIDIA's libraries would round what they multiply to 11 bits (TF32), which errs by 1e-3, unless the user has chosen.
  // They read their environment when they are loaded, which is later than this.
  if (name === 'cuda') process.env.NVIDIA_TF32_OVERRIDE ??= '0';
  const threads = threadsOf(options);
  const accelerator: Runtime = {
    name,
    threads,
    separateMemory: true,
    // Through the binding for Node, results of the others always come back to the host.
    keepsTensors: name === 'webgpu',
    fusesAttention: name !== 'coreml',
    takesEmpty: name !== 'coreml',
    ort,
    options: () => ({ ...sharedOptions(threads), executionProviders: [name, 'cpu'] }),
    run: runAndCopy,
    ...(name === 'webgpu' && { adapt: forWebGpu }),
  };
  return requireWorking({ ...createDevice(accelerator), host: async () => openCpu({ threads }) });
}

function sharedOptions(threads: number): SessionOptions {
  return {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Many programs take turns: a pool that keeps spinning after its run would steal a core from the next. So would the
    // pool of a new program, which waits for its first run.
    extra: { session: { force_spinning_stop: '1', 'intra_op.spin_duration_us': SPIN_MICROSECONDS } },
  };
}

/**
 * An output of every program that is not a tensor. ONNX Runtime fills the tensors it is given for outputs, and its
 * binding for Node then copies each into fresh memory to return it: 7 ms for 22 MB that took 0.4 ms to compute. It
 * makes these copies in the outputs' order and refuses one that is not a tensor, so when that comes first and all
 * others have a place, nothing is copied. Should a binding accept it one day, results are the same.
 */
const NO_TENSOR = 'no tensor';
const noTensor = applyOne({ operator: 'SequenceEmpty', inputs: [], shape: [], dtype: 'sequence' });
const REFUSAL = /non tensor type/i;

/** Run, with every output either in its place or new where its shape is not known before. */
const runInPlace: Runtime['run'] = async (session, feeds, outputs, into) => {
  const room = withRoom(outputs, into);
  const placed = Object.values(room).every((place) => place !== null);
  const fetches = mapValues(room, (place) => place && runtimeTensor(ort, place));
  let results: Record<string, Ort.Tensor> = {};
  try {
    results = await session.run(feeds, placed ? { [NO_TENSOR]: null, ...fetches } : fetches);
  } catch (cause) {
    if (!placed || !REFUSAL.test(messageOf(cause))) throw runFailure(cause);
  }
  return mapValues(room, (place, name) => place ?? fromRuntime(get(results, name)));
};

/** A place for every output: the caller's, a new one, or null where the shape is not known yet. */
function withRoom(outputs: ReadonlyMap<string, OutputType>, into: Feeds): Record<string, Tensor | null> {
  return Object.fromEntries(
    [...outputs].map(([name, { dtype, shape }]) => {
      const known = shape.every((dim) => typeof dim === 'number');
      return [name, into[name] ?? (known ? zeros(dtype, shape.map(Number)) : null)];
    }),
  );
}
