/**
 * @file ONNX Runtime in a browser, best in a worker: WebGPU if there is a GPU, else WebAssembly, with threads if the
 * page is cross-origin isolated. The runtime itself (14 MB, with WebGPU 27 MB) is loaded when a device is opened.
 */

import { messageOf } from '../attempt.ts';
import { ArgumentError, DeviceError } from '../errors.ts';
import type { Device } from './device.ts';
import { createDevice, type Runtime, requireWorking, runAndCopy } from './programs.ts';
import { forWebGpu } from './webgpu-graph.ts';

/** Where the two files of a build of ONNX Runtime are, for bundlers that move them. */
export interface RuntimeFiles {
  /** URL of `ort-wasm-simd-threaded.mjs`, or of `ort-wasm-simd-threaded.asyncify.mjs` for WebGPU. */
  readonly mjs: string;
  /** URL of the `.wasm` of the same name. */
  readonly wasm: string;
}

/** What a page can ask for. */
export const BROWSER_DEVICES = ['auto', 'webgpu', 'wasm'] as const;

/** Which device of a browser, and how it is used. */
export interface BrowserDeviceOptions {
  /** `auto`, the default, is WebGPU where it works, else WebAssembly. */
  readonly device?: (typeof BROWSER_DEVICES)[number];
  /** Threads of WebAssembly; by default all cores, and one where the page is not cross-origin isolated. */
  readonly threads?: number;
  /** Default: the files next to `onnxruntime-web`'s module. */
  readonly files?: { readonly wasm: RuntimeFiles; readonly webgpu: RuntimeFiles };
}

/**
 * Open a device. ONNX Runtime allows for one set of threads, so a page or worker should open one device only.
 * @throws {DeviceError} if what was asked for is not available, or the runtime cannot be loaded.
 */
export async function openBrowserDevice(options: BrowserDeviceOptions = {}): Promise<Device> {
  const { device = 'auto' } = options;
  if (!BROWSER_DEVICES.includes(device)) {
    throw new ArgumentError(`device must be ${BROWSER_DEVICES.join(', ')}, got '${device}'`);
  }
  if (device === 'wasm') return openWasm(options);
  try {
    return await openWebGpu(options);
  } catch (error) {
    if (device === 'webgpu') throw error;
    return openWasm(options);
  }
}

/** @throws {DeviceError} if there is no GPU that the browser lets pages use. */
async function openWebGpu(options: BrowserDeviceOptions): Promise<Device> {
  if (!(await page.navigator?.gpu?.requestAdapter())) {
    throw new DeviceError('device webgpu is not available here: the browser offers no adapter; use wasm');
  }
  const ort = await load('WebGPU', () => import('onnxruntime-web/webgpu'));
  const files = options.files?.webgpu;
  // The same build, since its files are there already.
  return { ...(await open('webgpu', ort, files, 1)), host: () => open('wasm', ort, files, 1) };
}

async function openWasm(options: BrowserDeviceOptions): Promise<Device> {
  const ort = await load('WebAssembly', () => import('onnxruntime-web/wasm'));
  const cores = page.crossOriginIsolated ? (page.navigator?.hardwareConcurrency ?? 1) : 1;
  return open('wasm', ort, options.files?.wasm, options.threads ?? cores);
}

/** What is asked of a page or worker. */
interface Surroundings {
  readonly crossOriginIsolated?: boolean;
  readonly navigator?: {
    readonly hardwareConcurrency?: number;
    readonly gpu?: { requestAdapter(): Promise<unknown> };
  };
}

const page = globalThis as Surroundings;

type Ort = typeof import('onnxruntime-web/wasm');

async function load(what: string, module: () => Promise<Ort>): Promise<Ort> {
  try {
    return await module();
  } catch (cause) {
    throw new DeviceError(
      `ONNX Runtime for ${what} cannot be loaded (${messageOf(cause)}); is onnxruntime-web installed, and the page online?`,
      { cause },
    );
  }
}

async function open(
  name: string,
  ort: Ort,
  files: RuntimeFiles | undefined,
  threads: number,
): Promise<Device> {
  ort.env.wasm.numThreads = threads;
  if (files) ort.env.wasm.wasmPaths = { ...files };
  const runtime: Runtime = {
    name,
    threads,
    separateMemory: name === 'webgpu',
    keepsTensors: name === 'webgpu',
    fusesAttention: name === 'webgpu',
    ort,
    options: () => ({ executionProviders: [name] }),
    run: runAndCopy,
    ...(name === 'webgpu' && { adapt: forWebGpu }),
  };
  return requireWorking(createDevice(runtime));
}
