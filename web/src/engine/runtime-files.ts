/** @file Where the bundler puts the runtime. Nothing is loaded before a device is opened. */

import webgpuMjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import webgpuWasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import wasmMjs from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import wasmWasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';

const absolute = (url: string): string => new URL(url, globalThis.location.href).href;

export const runtimeFiles = {
  wasm: { mjs: absolute(wasmMjs), wasm: absolute(wasmWasm) },
  webgpu: { mjs: absolute(webgpuMjs), wasm: absolute(webgpuWasm) },
};
