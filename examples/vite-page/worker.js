// A step blocks its thread, so it runs in a worker.
import { open } from 'acdit/browser';
import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';

const files = { wasm: { mjs, wasm } };
const opening = open(new URL('/models/fashion-mnist/', self.location.origin).href, { device: 'wasm', files });

self.onmessage = async ({ data: { prompt, seed } }) => {
  try {
    const acdit = await opening;
    for await (const { samples, progress } of acdit.stream(prompt, { seed })) {
      self.postMessage({ blob: await samples[0].toBlob(), progress });
    }
  } catch (error) {
    self.postMessage({ error: error.message });
  }
};
