/** The page of decoding.test.ts: decodes latents on WebAssembly. */

import {
  createAutoencoder,
  latentsToImages,
  openAddress,
  openAutoencoderAddress,
  openAutoencoderFiles,
  openBrowserDevice,
} from '../../src/browser/index.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { runtimeFiles } from '../../web/src/engine/runtime-files.ts';

async function fileAt(url: string, name: string): Promise<File> {
  return new File([await (await fetch(url + name)).blob()], name);
}

/** @param from how the autoencoder is opened. */
async function decode(from: 'files' | 'address', shape: number[], values: number[]): Promise<number[]> {
  const device = await openBrowserDevice({ device: 'wasm', files: runtimeFiles });
  const names = ['config.json', 'diffusion_pytorch_model.safetensors'];
  const stored =
    from === 'address'
      ? await openAutoencoderAddress('vae/')
      : await openAutoencoderFiles(await Promise.all(names.map((name) => fileAt('vae/', name))));
  const { config } = await openAddress('model.pt');
  const autoencoder = await createAutoencoder({ ...stored, device, parts: ['decoder'] });
  const { data } = await latentsToImages(autoencoder, config, float32(shape, Float32Array.from(values)));
  await device.dispose();
  return Array.from(data);
}

Object.assign(globalThis, { decode });
