/** The page of concurrent.test.ts: two calls at once on one sampler, and on one autoencoder, in a browser. */

import { float32At, take } from '../../src/at.ts';
import { createAutoencoder, createSampler, openBrowserDevice } from '../../src/browser/index.ts';
import { autoencoderParameters } from '../../src/models/autoencoder/stages.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { runtimeFiles } from '../../web/src/engine/runtime-files.ts';
import { awaiting, begin, type Call, finish, interleave, sampling } from '../support/calls.ts';
import { formulaTensor, stableDiffusionAutoencoder } from '../support/formula-weights.ts';
import { randomWeights } from '../support/random-weights.ts';
import { tinyConfig } from '../support/tiny-config.ts';

const smallAutoencoder = {
  ...stableDiffusionAutoencoder,
  blockChannels: [8, 16],
  layersPerBlock: 1,
  groups: 4,
};

/** The largest difference, as a share of the largest value. */
function difference(a: Tensor<'float32'>, b: Tensor<'float32'>): number {
  const size = Math.max(...a.data.map(Math.abs));
  return Math.max(...a.data.map((value, i) => Math.abs(value - float32At(b.data, i)))) / size;
}

/** What one of two calls differs by from what it gives alone, by what becomes of the other. */
async function differences(a: Call, b: Call): Promise<Record<string, number>> {
  const [ofA, ofB] = [await finish(a()), await finish(b())];
  const [first, second] = take(await interleave([a, b]), 2);
  const controller = new AbortController();
  const aborted = a(controller.signal);
  await begin(aborted, 1);
  const other = finish(b());
  controller.abort(new Error('nobody waits'));
  await finish(aborted).catch(() => {});
  const beside = await other;
  const abandoned = a();
  await begin(abandoned, 1);
  const after = await finish(b());
  return {
    alone: difference(ofA, await finish(a())),
    interleaved: Math.max(difference(ofA, first), difference(ofB, second)),
    aborted: difference(ofB, beside),
    abandoned: Math.max(difference(ofB, after), difference(ofA, await finish(abandoned))),
  };
}

/** Of two requests at once, and of decoding while sampling. */
async function concurrent(choice: 'wasm' | 'webgpu'): Promise<Record<string, Record<string, number>>> {
  const device = await openBrowserDevice({ device: choice, files: runtimeFiles });
  const config = tinyConfig();
  const sampler = await createSampler({ config, weights: randomWeights(config), device });
  const first = sampling(sampler, { labels: [0, 2], steps: 4, cfg: 2, seed: 1 });
  const second = sampling(sampler, { labels: [1], steps: 3, cfg: 1, seed: 2 });
  const shapes = autoencoderParameters(smallAutoencoder);
  const autoencoder = await createAutoencoder({
    config: smallAutoencoder,
    weights: async (name) => formulaTensor(name, shapes.get(name)!),
    device,
    parts: ['decoder'],
  });
  const latents = float32([1, 4, 8, 8], new Float32Array(256).fill(0.5));
  const decode = awaiting((signal) => autoencoder.decode(latents, { signal }));
  const result = {
    'two requests': await differences(first, second),
    'decoding while sampling': await differences(first, decode),
    'decoding twice': await differences(decode, decode),
  };
  await device.dispose();
  return result;
}

Object.assign(globalThis, { concurrent });
