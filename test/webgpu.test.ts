/** @file Sampling through WebGPU on Node, on SwiftShader, a GPU in software that comes with Chromium. */
// @module-tag slow

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { openNpz } from '../src/formats/npz.ts';
import { input } from '../src/graph/index.ts';
import { graphOf } from '../src/graph/onnx.ts';
import { applyOne, inputName } from '../src/graph/symbolic.ts';
import { openFile } from '../src/io/file-source.ts';
import type { Device } from '../src/runtime/device.ts';
import { openAccelerator, openCpu } from '../src/runtime/node.ts';
import { conditionGraph, modulationGraph } from '../src/sampling/graphs.ts';
import {
  createSampler,
  finalLatents,
  type SampleRequest,
  type SamplerOptions,
} from '../src/sampling/sampler.ts';
import { float32, type Tensor, tensor } from '../src/tensor/tensor.ts';
import { deviceApart } from './support/device-apart.ts';
import { randomTensor } from './support/evaluate.ts';
import { formulaWeights } from './support/formula-weights.ts';
import { golden, relativeError } from './support/golden.ts';
import { signalToNoise } from './support/signal-to-noise.ts';
import { tinyClips, tinyConfig } from './support/tiny-config.ts';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const missing = !existsSync(SWIFTSHADER) && !process.env.VK_ICD_FILENAMES;
if (missing) console.warn('SKIPPED: there is no SwiftShader for WebGPU on Node; install Chromium');

/** Bytes of a program's weights that leave room for one layer. */
const ONE_LAYER = 1;
const MINUTES = 60_000;

describe.skipIf(missing)('WebGPU on Node', { timeout: 5 * MINUTES }, () => {
  let webgpu: Device;
  const cpu = openCpu();
  beforeAll(async () => {
    process.env.VK_ICD_FILENAMES ??= SWIFTSHADER;
    webgpu = await openAccelerator('webgpu');
  }, MINUTES);
  afterAll(async () => {
    await webgpu?.dispose();
    await cpu.dispose();
  });

  async function sample(options: SamplerOptions, request: SampleRequest): Promise<Tensor<'float32'>> {
    const sampler = await createSampler(options);
    const latents = await finalLatents(sampler.sample(request));
    await sampler.dispose();
    return latents;
  }

  it.each([
    ['image-tiny', 'in one program', undefined],
    ['image-tiny', 'in a program per layer', ONE_LAYER],
    ['video-tiny', 'in a program per layer', ONE_LAYER],
  ])('reaches the official latents of %s %s', async (name, _, partBytes) => {
    const numbers = await openNpz(await openFile(golden(`${name}.npz`)));
    const { config, weights } = await loadModel(golden(`${name}.pt`));
    const scalar = async (member: string): Promise<number> => Number((await numbers.read(member)).data[0]);
    const request = {
      labels: Array.from((await numbers.read('sample.labels')).data, Number),
      cfg: await scalar('sample.cfg'),
      steps: await scalar('sample.steps'),
      noise: (await numbers.read('sample.noise')) as Tensor<'float32'>,
    };
    const latents = await sample({ config, weights, device: webgpu, partBytes }, request);
    expect(relativeError(latents, await numbers.read('sample.latents'))).toBeLessThan(1e-3);
    await numbers.close();
  });

  it('slides a cache that stays on the device', async () => {
    const options = { config: tinyClips, weights: formulaWeights(tinyClips) };
    const request = { labels: [2, 0], cfg: [2, 1, 2, 2], blocks: 4, window: 2, steps: 2, seed: 4 };
    const wanted = await sample({ ...options, device: cpu }, request);
    const got = await sample({ ...options, device: webgpu, partBytes: ONE_LAYER }, request);
    expect(relativeError(got, wanted)).toBeLessThan(1e-4);
  });

  it('takes as many tensors across in a step of 28 layers as of 2, in any number of programs', async () => {
    const crossings = async (layers: number) => {
      const config = tinyConfig({ layers });
      const { device, crossingsOf } = deviceApart(webgpu, webgpu);
      const sampler = await createSampler({
        config,
        weights: formulaWeights(config),
        device,
        partBytes: ONE_LAYER,
      });
      const of = (steps: number) =>
        crossingsOf(() => finalLatents(sampler.sample({ labels: [0], steps: [1, steps, 1, 1], seed: 1 })));
      const [few, many] = [await of(1), await of(2)];
      await sampler.dispose();
      return { tensors: many.tensors - few.tensors, runs: many.runs - few.runs };
    };
    expect(await crossings(2)).toEqual({ tensors: 7, runs: 2 + 1 });
    expect(await crossings(28)).toEqual({ tensors: 7, runs: 28 + 1 });
  });

  it('computes modulations without the CPU', async () => {
    const { hidden } = tinyConfig();
    for (const graph of [conditionGraph(tinyConfig()), modulationGraph(tinyConfig(), 2)]) {
      // Kept results are refused where an operator would run on the CPU.
      const program = await webgpu.compileKeeping(graph, {}, []);
      const feeds = Object.fromEntries(
        graph.inputs.map((symbol) => {
          const shape = symbol.shape.map((size) => (typeof size === 'number' ? size : 3));
          const name = inputName(symbol);
          return [
            name,
            name === 'labels' ? tensor('int32', [3], Int32Array.of(2, 0, 1)) : randomTensor(shape, 1),
          ];
        }),
      );
      const [output] = Object.keys(graph.outputs) as [string];
      const { outputs } = await program.run(feeds, [output]);
      const exact = await cpu.compile(graph);
      const expected = await exact.run(feeds);
      expect(outputs[output]?.shape.at(-1)).toBe(hidden);
      expect(
        relativeError(outputs[output] as Tensor<'float32'>, expected[output] as Tensor<'float32'>),
      ).toBeLessThan(1e-5);
      await program.dispose();
      await exact.dispose();
    }
  });

  it('refuses a program an operator of which would run on the CPU', async () => {
    const x = input('x', [4]);
    const lacking = applyOne({ operator: 'Det', inputs: [input('matrix', [2, 2])], shape: [] });
    await expect(webgpu.compileKeeping(graphOf({ lacking }), {}, ['lacking'])).rejects.toThrow(
      'fallback to CPU EP',
    );
    const kept = await webgpu.compileKeeping(
      graphOf({ doubled: applyOne({ operator: 'Add', inputs: [x, x], shape: [4] }) }),
      {},
      ['doubled'],
    );
    const first = (await kept.run({ x: float32([4], [1, 2, 3, 4]) }, ['doubled'])).kept.doubled!;
    expect(first).toMatchObject({ dtype: 'float32', shape: [4] });
    first.dispose();
    first.dispose();
    await expect(kept.run({ x: first }, ['doubled'])).rejects.toThrow('disposed of before');
    await kept.dispose();
  });

  it('computes in half floats, or says in one line that the GPU has none', async () => {
    const config = tinyConfig();
    const options = { config, weights: formulaWeights(config) };
    const request = { labels: [1], steps: 2, seed: 1 };
    const messages: string[] = [];
    const onFallback = ({ message }: { message: string }): unknown => messages.push(message);
    const half = await sample({ ...options, device: webgpu, precision: 'fp16', onFallback }, request);
    expect(signalToNoise(await sample({ ...options, device: cpu }, request), half)).toBeGreaterThan(40);
    const lacking =
      /^fp16 on webgpu fails \(precision fp16 is not available on webgpu here \([^\n]*f16[^\n]*\); use fp32\); fp32 on webgpu is used instead$/;
    for (const message of messages) expect(message).toMatch(lacking);
  });
});
