import { afterAll, describe, expect, it } from 'vitest';
import { deviceApart } from '../../test/support/device-apart.ts';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { relativeError } from '../../test/support/golden.ts';
import { tinyClips, tinyConfig } from '../../test/support/tiny-config.ts';
import { at } from '../at.ts';
import type { Graph } from '../graph/onnx.ts';
import { inputName } from '../graph/symbolic.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { partsOf } from './device-graphs.ts';
import type { PassInfo } from './noise-predictor.ts';
import { createSampler, finalLatents, type SampleRequest, type SamplerOptions } from './sampler.ts';

const cpu = openCpu();
afterAll(() => cpu.dispose());

/** Bytes of a program's weights that leave room for one layer. */
const ONE_LAYER = 1;

const webgpu = { keepsTensors: true };
const cuda = { keepsTensors: false };
const coreml = { keepsTensors: false, fusesAttention: false, takesEmpty: false };

type Kind = Parameters<typeof deviceApart>[1];

function open(kind: Kind, config: AcditConfig, options: Partial<SamplerOptions> = {}) {
  const apart = deviceApart(cpu, kind);
  const sampler = createSampler({
    config,
    weights: formulaWeights(config),
    device: apart.device,
    ...options,
  });
  return { ...apart, sampler };
}

async function onCpu(config: AcditConfig, request: SampleRequest) {
  const sampler = await createSampler({ config, weights: formulaWeights(config), device: cpu });
  const latents = await finalLatents(sampler.sample(request));
  await sampler.dispose();
  return latents;
}

const guided = { labels: [0, 1, 2], cfg: 2, steps: 3, seed: 4 };
const sliding = { labels: [2, 0], cfg: [2, 1, 2, 2, 1, 2], blocks: 6, window: 2, steps: 3, seed: 4 };

describe.each([
  ['that keeps tensors, such as WebGPU', webgpu],
  ['that copies them in each run, such as CUDA or DirectML', cuda],
  ['that takes no empty tensors either, such as CoreML', coreml],
])('on a device %s, samples', (_, kind) => {
  it.each([
    ['with guidance', tinyConfig(), guided, undefined],
    ['without', tinyConfig(), { ...guided, labels: [1], cfg: 1 }, undefined],
    ['over a sliding window', tinyClips, sliding, undefined],
    ['of a program per layer', tinyConfig({ layers: 5 }), guided, ONE_LAYER],
    ['over a sliding window, of a program per layer', tinyClips, sliding, ONE_LAYER],
  ])('are those of the CPU, %s', async (_, config, request, partBytes) => {
    const { sampler, alive } = open(kind, config, { partBytes });
    const own = await sampler;
    const latents = await finalLatents(own.sample(request));
    expect(relativeError(latents, await onCpu(config, request))).toBeLessThan(1e-5);
    expect(alive.tensors).toBe(0);
    await own.dispose();
    expect(alive).toEqual({ programs: 0, tensors: 0 });
  });
});

describe('what crosses to a device and back', () => {
  const stepCrossings = async (kind: Kind, layers: number, partBytes?: number) => {
    const { sampler, crossingsOf } = open(kind, tinyConfig({ layers }), { partBytes });
    const own = await sampler;
    // Steps of the second block, which attends the first.
    const run = (steps: number) => () => finalLatents(own.sample({ ...guided, steps: [1, steps, 1, 1] }));
    const [few, many] = [await crossingsOf(run(1)), await crossingsOf(run(3))];
    await own.dispose();
    return {
      runs: (many.runs - few.runs) / 2,
      tensors: (many.tensors - few.tensors) / 2,
      bytes: (many.bytes - few.bytes) / 2,
    };
  };
  /** Bytes of a layer's modulations of six rows, the only ones that grow with the layers. */
  const modulations = 4 * 6 * 6 * 24;

  it.each([
    ['one program', undefined],
    ['a program per layer', ONE_LAYER],
  ])('is the same for any number of layers where tensors are kept, in %s', async (_, partBytes) => {
    const [shallow, deep] = [
      await stepCrossings(webgpu, 2, partBytes),
      await stepCrossings(webgpu, 7, partBytes),
    ];
    // Tokens, noise, cosines, sines, samples of rows, and modulations of all layers and of the last one.
    expect(shallow.tensors).toBe(7);
    expect(deep.tensors).toBe(7);
    expect(deep.bytes - shallow.bytes).toBe(5 * modulations);
    expect(deep.runs - shallow.runs).toBe(partBytes ? 5 : 0);
  });

  it('is one run per step where they are not, which takes the cache', async () => {
    const { runs, tensors, bytes } = await stepCrossings(cuda, 7);
    expect(runs).toBe(1);
    expect(tensors).toBe(7 + 2 * 7);
    const cache = 2 * 7 * 4 * 3 * 4 * 24;
    expect(bytes - (await stepCrossings(webgpu, 7)).bytes).toBe(cache);
  });

  it('is little when a block joins the cache, and nothing when it slides but tables', async () => {
    const crossings = async (blocks: number, kind: Kind) => {
      const { sampler, crossingsOf } = open(kind, tinyClips, { partBytes: ONE_LAYER });
      const own = await sampler;
      const result = await crossingsOf(() =>
        finalLatents(own.sample({ labels: [0], cfg: 1, blocks, window: 2, steps: 1, seed: 1 })),
      );
      await own.dispose();
      return result;
    };
    const [few, many] = [await crossings(6, webgpu), await crossings(7, webgpu)];
    // A step and an append take 7 each, and so does the noise of a step; sliding takes two tables.
    expect(many.tensors - few.tensors).toBe(7 + 6 + 2);
  });
});

describe('programs of a device', () => {
  it('take no integers of 64 bits, which would run on the CPU', async () => {
    const { device } = deviceApart(cpu, webgpu);
    const graphs: Graph[] = [];
    const noting = {
      ...device,
      compile: (...args: Parameters<Device['compile']>) => device.compile(...noted(args)),
      compileKeeping: (...args: Parameters<Device['compileKeeping']>) =>
        device.compileKeeping(...noted(args)),
    };
    function noted<A extends [Graph, ...unknown[]]>(args: A): A {
      graphs.push(args[0]);
      return args;
    }
    const config = tinyConfig();
    const own = await createSampler({ config, weights: formulaWeights(config), device: noting });
    await finalLatents(own.sample(guided));
    await own.dispose();
    const inputs = graphs.flatMap((graph) => graph.inputs);
    expect(inputs.filter((symbol) => inputName(symbol) === 'labels')).toHaveLength(1);
    expect(inputs.filter(({ dtype }) => dtype === 'int64')).toEqual([]);
  });

  it('hold one copy of the weights for all samples', async () => {
    const config = tinyConfig();
    const { sampler, alive, largest } = open(webgpu, config);
    const own = await sampler;
    await finalLatents(own.sample(guided));
    const [programs, bytes] = [alive.programs, largest()];
    for (const labels of [[0], [1, 2], Array<number>(9).fill(0)]) {
      await finalLatents(own.sample({ ...guided, labels, cfg: [1, 3, 1, 2] }));
    }
    expect(alive.programs).toBe(programs);
    expect(largest()).toBe(bytes);
    await own.dispose();
  });

  it('are as few as their size allows', () => {
    const config = tinyConfig({ layers: 7 });
    const layer = 4 * (4 * 24 ** 2 + 2 * 2 * 24 ** 2);
    expect(partsOf(config, 1e9)).toEqual([{ first: 0, end: 7 }]);
    expect(partsOf(config, 3.9 * layer)).toEqual([
      { first: 0, end: 3 },
      { first: 3, end: 6 },
      { first: 6, end: 7 },
    ]);
    expect(partsOf(config, 0)).toHaveLength(7);
  });

  it('run for several calls at once, and give each what it gets alone', async () => {
    const config = tinyConfig();
    const passes: PassInfo[] = [];
    const { sampler, alive } = open(webgpu, config, { batching: { onPass: (pass) => passes.push(pass) } });
    const own = await sampler;
    const requests: SampleRequest[] = [
      guided,
      { ...guided, labels: [2], seed: 7 },
      { ...guided, labels: [1, 1], cfg: 1 },
    ];
    const alone = [];
    for (const request of requests) alone.push(await finalLatents(own.sample(request)));
    passes.length = 0;
    const together = await Promise.all(requests.map((request) => finalLatents(own.sample(request))));
    for (const [i, latents] of together.entries())
      expect(relativeError(latents, at(alone, i))).toBeLessThan(1e-5);
    expect(Math.max(...passes.map(({ sequences }) => sequences))).toBe(3);
    expect(alive.tensors).toBe(0);
    await own.dispose();
  });

  it('give back memory when sampling is abandoned, stopped, or fails', async () => {
    const { sampler, alive, device } = open(webgpu, tinyConfig(), { partBytes: ONE_LAYER });
    const own = await sampler;
    for await (const event of own.sample(guided)) if (event.kind === 'block' && event.block === 2) break;
    expect(alive.tensors).toBe(0);
    const stop = new AbortController();
    await expect(async () => {
      for await (const event of own.sample({ ...guided, signal: stop.signal })) {
        if (event.kind === 'step' && event.block === 1) stop.abort(new Error('enough'));
      }
    }).rejects.toThrow('enough');
    expect(alive.tensors).toBe(0);
    let failing = false;
    const compileKeeping = device.compileKeeping;
    const broken = {
      ...device,
      async compileKeeping(...args: Parameters<typeof compileKeeping>) {
        const program = await compileKeeping(...args);
        return {
          ...program,
          run: (...feeds: Parameters<typeof program.run>) =>
            failing && feeds[1].includes('noise') ? Promise.reject(new Error('lost')) : program.run(...feeds),
        };
      },
    };
    const config = tinyConfig();
    const other = await createSampler({
      config,
      weights: formulaWeights(config),
      device: broken,
      partBytes: ONE_LAYER,
    });
    await expect(async () => {
      for await (const event of other.sample(guided))
        if (event.kind === 'block' && event.block === 1) failing = true;
    }).rejects.toThrow('lost');
    expect(alive.tensors).toBe(0);
  });
});
