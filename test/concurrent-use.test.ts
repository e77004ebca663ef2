/**
 * Objects that calls may share, and pairs of calls that run at once: each call gives, to the last bit, what it gives
 * alone, while the other runs, after it was aborted, and while it is abandoned halfway.
 */
// @module-tag slow

import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saveModel } from '../src/checkpoints/save.ts';
import { processDecoder } from '../src/decoding/decoder.ts';
import { linearNoiseSchedule } from '../src/diffusion/noise-schedule.ts';
import { classifierNetwork, inceptionNetwork } from '../src/evaluation/feature-network.ts';
import { type AcditConfig, tokenSize } from '../src/models/acdit/config.ts';
import { createAutoencoder } from '../src/models/autoencoder/autoencoder.ts';
import type { Device } from '../src/runtime/device.ts';
import { openCpu } from '../src/runtime/node.ts';
import { latentsToImages } from '../src/sampling/latents-to-images.ts';
import { openProcessSampler } from '../src/sampling/process-sampler.ts';
import { createSampler, finalLatents, type SampleRequest } from '../src/sampling/sampler.ts';
import { Generator } from '../src/tensor/generator.ts';
import { elementCount, float32, type Tensor, tensor } from '../src/tensor/tensor.ts';
import { compileGradientPass } from '../src/training/compile-gradient-pass.ts';
import { noiseBatch } from '../src/training/noising.ts';
import { zerosLike } from '../src/training/optimizer.ts';
import { abandon, awaiting, begin, type Call, finish, interleave, sampling } from './support/calls.ts';
import { digest } from './support/digest.ts';
import { formulaTensor } from './support/formula-weights.ts';
import { randomWeights } from './support/random-weights.ts';
import { saveAutoencoder, tinyAutoencoder, tinyAutoencoderWeights } from './support/tiny-autoencoder.ts';
import { tinyClassifier } from './support/tiny-classifier.ts';
import { tinyClips, tinyConfig } from './support/tiny-config.ts';

/** An object in use: pairs of calls, by what they are. */
interface Shared {
  readonly pairs: Readonly<Record<string, readonly [Call, Call]>>;
  dispose(): Promise<unknown>;
}

// Programs of other processes run from their source too.
const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
process.execArgv.push('--import', LOADER);

const device = openCpu({ threads: 2 });
const folder = mkdtempSync(join(tmpdir(), 'acdit-test-'));
afterAll(async () => {
  await device.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const images = tinyConfig();
const first: SampleRequest = { labels: [0, 2], steps: 4, cfg: 2, seed: 1 };
const second: SampleRequest = { labels: [1], steps: 3, cfg: 1, seed: 2, solver: 'ddpm' };
const longer: SampleRequest = { labels: [1, 0, 2], steps: 5, cfg: 0.5, seed: 3 };

async function openSampler(config: AcditConfig, on: Device, options: object = {}) {
  return createSampler({ config, weights: randomWeights(config), device: on, ...options });
}

function normal(shape: readonly number[], seed: number): Tensor<'float32'> {
  return float32(shape, new Generator(seed).randn(elementCount(shape)));
}

function pixels(shape: readonly number[], seed: number): Tensor<'uint8'> {
  return tensor(
    'uint8',
    shape,
    Uint8Array.from(normal(shape, seed).data, (value) => 128 + 30 * value),
  );
}

async function openDecoding(on: Device) {
  return createAutoencoder({
    config: tinyAutoencoder,
    weights: async (name) => tinyAutoencoderWeights(tinyAutoencoder).get(name)!,
    device: on,
    stripPixels: 64,
  });
}

const latentModel = tinyConfig({ space: 'latents', channels: 4, downsampling: 2 });

const objects: Record<string, () => Promise<Shared>> = {
  async 'a sampler'() {
    const sampler = await openSampler(images, device);
    const [a, b, c] = [first, second, longer].map((request) => sampling(sampler, request));
    return {
      pairs: {
        'two requests': [a, b],
        'twice the same request': [a, a],
        'more samples and guidance': [b, c],
      },
      dispose: () => sampler.dispose(),
    };
  },
  async 'a sampler that remembers modulations, in small passes'() {
    const sampler = await openSampler(images, device, { batching: { groups: 3 } });
    return {
      pairs: { 'two requests': [sampling(sampler, first), sampling(sampler, second)] },
      dispose: () => sampler.dispose(),
    };
  },
  async 'a sampler in 8 bits'() {
    const sampler = await openSampler(images, device, { precision: 'int8' });
    const [a, b] = [first, longer].map((request) => sampling(sampler, request));
    return {
      pairs: { 'two requests': [a, b], 'twice the same request': [a, a] },
      dispose: () => sampler.dispose(),
    };
  },
  async 'a sampler of clips'() {
    const sampler = await openSampler(tinyClips, device);
    const request = { ...first, blocks: 7, window: 2, steps: 2 };
    return {
      pairs: { 'a sliding window and a plain clip': [sampling(sampler, request), sampling(sampler, second)] },
      dispose: () => sampler.dispose(),
    };
  },
  async 'a sampler on a device with a memory of its own'() {
    const sampler = await openSampler(images, { ...device, separateMemory: true });
    return {
      pairs: { 'two requests': [sampling(sampler, first), sampling(sampler, second)] },
      dispose: () => sampler.dispose(),
    };
  },
  async 'a sampler in a process of its own'() {
    const model = join(folder, 'model');
    await saveModel(model, images, randomWeights(images));
    const sampler = await openProcessSampler({ model, threads: 2 });
    return {
      pairs: { 'two requests': [sampling(sampler, first), sampling(sampler, second)] },
      dispose: () => sampler.dispose(),
    };
  },
  async 'a device'() {
    const own = openCpu({ threads: 2 });
    const [one, other] = [await openSampler(images, own), await openSampler(tinyClips, own)];
    const sample = sampling(one, first);
    const compiling = awaiting(async () => {
      const another = await openSampler(images, own);
      const latents = await finalLatents(another.sample(second));
      await another.dispose();
      return latents;
    });
    return {
      pairs: { 'two samplers': [sample, sampling(other, second)], 'compiling another': [sample, compiling] },
      dispose: () => own.dispose(),
    };
  },
  async 'an autoencoder'() {
    const autoencoder = await openDecoding(device);
    const decode = (height: number, seed: number): Call =>
      awaiting((signal) => autoencoder.decode(normal([2, 4, height, 8], seed), { signal }));
    const encode = awaiting(
      async (signal) => (await autoencoder.encode(normal([1, 3, 32, 16], 5), { signal })).mean,
    );
    return {
      pairs: {
        'decoding twice': [decode(8, 1), decode(16, 2)],
        'decoding and encoding': [decode(8, 1), encode],
      },
      dispose: () => autoencoder.dispose(),
    };
  },
  async 'a decoder in a process of its own'() {
    const vae = await saveAutoencoder(join(folder, 'vae'));
    const decoder = processDecoder({ config: latentModel, vae, threads: 1 });
    const decode = (samples: number, seed: number): Call =>
      awaiting((signal) => decoder.decode(normal([samples, 4, 4, tokenSize(latentModel)], seed), { signal }));
    return { pairs: { 'decoding twice': [decode(1, 1), decode(2, 2)] }, dispose: () => decoder.close() };
  },
  async 'a sampler and an autoencoder on one device'() {
    const own = openCpu({ threads: 2 });
    const [sampler, autoencoder] = [await openSampler(latentModel, own), await openDecoding(own)];
    const latents = normal([1, 4, 4, tokenSize(latentModel)], 4);
    const decode = awaiting((signal) => latentsToImages(autoencoder, latentModel, latents, { signal }));
    return {
      pairs: { 'decoding while sampling': [sampling(sampler, first), decode] },
      dispose: () => own.dispose(),
    };
  },
  async 'a feature network'() {
    const classifier = await classifierNetwork(device, tinyClassifier(['a', 'b', 'c']));
    const inception = await inceptionNetwork(device, {
      convolution: async ({ name, inputs, outputs, kernel }) => ({
        weight: formulaTensor(`${name}.conv.weight`, [outputs, inputs, ...kernel]),
        bias: formulaTensor(`${name}.bn.bias`, [outputs]),
      }),
      classifier: async () => formulaTensor('fc.weight', [1008, 2048]),
    });
    const features = (network: typeof classifier, shape: readonly number[], seed: number): Call =>
      awaiting(async () => (await network.extract(pixels(shape, seed))).features);
    return {
      pairs: {
        'a classifier, twice': [features(classifier, [5, 8, 8, 1], 1), features(classifier, [3, 6, 7, 1], 2)],
        'Inception, twice': [features(inception, [2, 16, 16, 3], 1), features(inception, [1, 20, 10, 3], 2)],
        'one of each': [features(classifier, [5, 8, 8, 1], 1), features(inception, [1, 20, 10, 3], 2)],
      },
      dispose: () => Promise.all([classifier.dispose(), inception.dispose()]),
    };
  },
  async 'a gradient pass'() {
    const weights = randomWeights(images);
    const pass = await compileGradientPass(device, images, 2);
    const gradient = (seed: number): Call =>
      awaiting(async (signal) => {
        const clean = normal([2, images.blocks, images.blockSize, tokenSize(images)], seed);
        const batch = noiseBatch(
          images,
          linearNoiseSchedule(),
          clean,
          [0, 1],
          { labelDrop: 0 },
          new Generator(seed),
        );
        const gradients = zerosLike(weights);
        const { loss } = await pass.run(weights, batch, gradients, signal);
        const all = [loss, ...[...gradients.values()].flatMap(({ data }) => [...data])];
        return float32([all.length], all);
      });
    return { pairs: { 'two batches': [gradient(1), gradient(2)] }, dispose: () => pass.dispose() };
  },
};

describe.each(Object.entries(objects))('%s', (_, open) => {
  let shared: Shared;
  beforeAll(async () => {
    shared = await open();
  });
  afterAll(() => shared.dispose());

  /** Runs a check of every pair, with what each of its calls gives alone. */
  async function everyPair(
    check: (pair: readonly [Call, Call], alone: readonly string[]) => Promise<void>,
  ): Promise<void> {
    for (const [a, b] of Object.values(shared.pairs)) {
      const alone = [await finish(a()), await finish(b())];
      for (const { data } of alone) expect(data.every(Number.isFinite)).toBe(true);
      await check([a, b], alone.map(digest));
    }
  }

  it('gives a call the same when it is repeated alone', () =>
    everyPair(async ([a, b], [ofA, ofB]) => {
      expect(digest(await finish(b()))).toBe(ofB);
      expect(digest(await finish(a()))).toBe(ofA);
    }));

  it('gives each call the same when they are interleaved', () =>
    everyPair(async ([a, b], [ofA, ofB]) => {
      expect((await interleave([a, b])).map(digest)).toEqual([ofA, ofB]);
      expect((await Promise.all([finish(b()), finish(a())])).map(digest)).toEqual([ofB, ofA]);
      expect((await interleave([a, b, b, a])).map(digest)).toEqual([ofA, ofB, ofB, ofA]);
    }));

  it('gives a call the same when the other is aborted', () =>
    everyPair(async ([a, b], [ofA, ofB]) => {
      for (const steps of [0, 1, 3]) {
        const controller = new AbortController();
        const aborted = a(controller.signal);
        const early = await begin(aborted, steps);
        const other = finish(b());
        controller.abort(new Error('nobody waits'));
        // A call without a signal, or almost at its end, still ends well.
        const ending = early ?? (await finish(aborted).catch((error: Error) => error.message));
        if (typeof ending === 'string') expect(ending).toBe('nobody waits');
        else expect(digest(ending)).toBe(ofA);
        expect(digest(await other)).toBe(ofB);
      }
      expect(digest(await finish(a()))).toBe(ofA);
    }));

  it('gives both the same when one is abandoned, and taken up again', () =>
    everyPair(async ([a, b], [ofA, ofB]) => {
      const [resumed, dropped] = [a(), a()];
      const early = await begin(resumed, 3);
      const ended = await begin(dropped, 2);
      expect(digest(await finish(b()))).toBe(ofB);
      expect(digest(early ?? (await finish(resumed)))).toBe(ofA);
      if (!ended) await abandon(dropped);
      expect(digest(await finish(b()))).toBe(ofB);
    }));
});
