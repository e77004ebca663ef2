/** The page of load-check.test.ts: a GPU that computes wrongly, in a browser. */

import { createSampler, type Device, openBrowserDevice, type SampleEvent } from '../../src/browser/index.ts';
import { runtimeFiles } from '../../web/src/engine/runtime-files.ts';
import { altered, LAYERS } from '../support/altered-device.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { tinyConfig } from '../support/tiny-config.ts';

/** Samples on a device, and returns what was said of it. */
async function sampleOn(device: Device) {
  const config = tinyConfig();
  const messages: string[] = [];
  const onFallback = ({ message }: { message: string }) => messages.push(message);
  const sampler = await createSampler({ config, weights: formulaWeights(config), device, onFallback });
  let last: SampleEvent | undefined;
  for await (const event of sampler.sample({ labels: [1, 0], steps: 2, seed: 3 })) last = event;
  await sampler.dispose();
  return { messages, device: sampler.device, latents: last?.kind === 'done' ? [...last.latents.data] : [] };
}

/** Samples on WebGPU, as it is, or with products that come out 10% too large. */
async function sample(isWrong: boolean) {
  const device = await openBrowserDevice({ device: 'webgpu', files: runtimeFiles });
  const result = await sampleOn(isWrong ? altered(device, LAYERS, (value) => 1.1 * value) : device);
  await device.dispose();
  return result;
}

Object.assign(globalThis, { sample });
