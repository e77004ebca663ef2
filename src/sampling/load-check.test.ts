import { afterAll, describe, expect, it } from 'vitest';
import { altered, BYTES, HALVES, LAYERS, withResults } from '../../test/support/altered-device.ts';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyClips, tinyConfig } from '../../test/support/tiny-config.ts';
import { tinyLatents, tinyPixels } from '../../test/support/tiny-model.ts';
import { DeviceError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { createSampler, finalLatents, type SamplerOptions } from './sampler.ts';

const cpu = openCpu({ threads: 1 });
afterAll(() => cpu.dispose());

/** Changes the values that a program gives. */
type Alter = (value: number) => number;

const gpu: Device = { ...cpu, name: 'webgpu', separateMemory: true, host: async () => cpu };
/** The weights of the product that finds out how many bits a weight may have. */
const PROBE = /^values$/;

/** What a model runs on, what is said of it, and a sample. */
async function sampled(config: AcditConfig, options: Omit<SamplerOptions, 'config' | 'weights'>) {
  const messages: string[] = [];
  const weights = formulaWeights(config);
  const onFallback = ({ message }: { message: string }) => messages.push(message);
  const sampler = await createSampler({ config, weights, onFallback, ...options });
  const { data } = await finalLatents(sampler.sample({ labels: [1, 0], steps: 3, seed: 5 }));
  await sampler.dispose();
  return { messages, ranOn: [sampler.device, sampler.precision], data };
}

const WRONG: [string, Alter][] = [
  ['not finite', () => Number.NaN],
  ['12% too large', (value) => 1.12 * value],
  ['zero', () => 0],
  ['negative', (value) => -value],
];

describe.each([
  ['an image model', tinyConfig()],
  ['a video model', tinyClips],
  ['a model of pixels', tinyPixels],
  ['a model of latents', tinyLatents],
  ['a model of one block', { ...tinyConfig(), blocks: 1 }],
  ['a model that makes all blocks together', { ...tinyConfig(), attention: 'full' as const }],
])('%s', (_, config) => {
  it.each(WRONG)('is sampled on the CPU if all values of a GPU are %s', async (_, alter) => {
    const wanted = await sampled(config, { device: cpu });
    const { messages, ranOn, data } = await sampled(config, { device: altered(gpu, LAYERS, alter) });
    expect(ranOn).toEqual(['cpu', 'fp32']);
    expect(data).toEqual(wanted.data);
    expect(messages).toEqual([
      expect.stringMatching(/^fp32 on webgpu predicts noise that is .*; fp32 on cpu is used instead$/),
    ]);
  });

  it.each(WRONG)('is sampled in float32 if products of integers are %s', async (_, alter) => {
    const wanted = await sampled(config, { device: cpu });
    const device = altered(cpu, BYTES, alter);
    const { messages, ranOn, data } = await sampled(config, { device, precision: 'int8' });
    expect(ranOn).toEqual(['cpu', 'fp32']);
    expect(data).toEqual(wanted.data);
    expect(messages).toEqual([
      expect.stringMatching(/^int8 on cpu predicts noise that is .*; fp32 on cpu is used instead$/),
    ]);
  });

  it('stays where it is computed rightly', async () => {
    expect(await sampled(config, { device: gpu })).toMatchObject({ messages: [], ranOn: ['webgpu', 'fp32'] });
    expect(await sampled(config, { device: cpu, precision: 'int8' })).toMatchObject({
      messages: [],
      ranOn: ['cpu', 'int8'],
    });
  });
});

describe('a check at load', () => {
  const config = tinyConfig();

  it('goes from half floats to float32 on the same GPU, and from there to the CPU', async () => {
    const wanted = await sampled(config, { device: cpu });
    const halves = await sampled(config, { device: altered(gpu, HALVES, () => 0), precision: 'fp16' });
    expect(halves.ranOn).toEqual(['webgpu', 'fp32']);
    expect(halves.messages).toEqual([
      'fp16 on webgpu predicts noise that is 100% off (at most 2% is right); fp32 on webgpu is used instead',
    ]);
    const both = altered(gpu, /^blocks/, () => 0);
    const { messages, ranOn, data } = await sampled(config, { device: both, precision: 'fp16' });
    expect(ranOn).toEqual(['cpu', 'fp32']);
    expect(data).toEqual(wanted.data);
    expect(messages.map((message) => message.slice(0, 14))).toEqual(['fp16 on webgpu', 'fp32 on webgpu']);
  });

  it('finds products of integers that are 2% off', async () => {
    const device = altered(cpu, PROBE, (value) => 1.02 * value);
    expect(await sampled(config, { device, precision: 'int8' })).toMatchObject({
      ranOn: ['cpu', 'fp32'],
      messages: [
        'int8 on cpu fails (cpu multiplies integers wrongly here; use precision fp32); fp32 on cpu is used instead',
      ],
    });
  });

  it('finds attention to a cache that is wrong, and modulations', async () => {
    for (const wrong of ['past.keys.0', 'weight', 'features']) {
      const device = withResults(
        gpu,
        (inputs) => inputs.includes(wrong),
        (values) => Float32Array.from([...values].reverse()),
      );
      expect((await sampled(config, { device })).ranOn).toEqual(['cpu', 'fp32']);
    }
  });

  it('replaces a GPU that fails', async () => {
    const device: Device = {
      ...gpu,
      async compileKeeping(graph, bound, kept) {
        if (Object.keys(bound).length > 0) throw new DeviceError('out of memory');
        return cpu.compileKeeping(graph, bound, kept);
      },
    };
    expect(await sampled(config, { device })).toMatchObject({
      ranOn: ['cpu', 'fp32'],
      messages: ['fp32 on webgpu fails (out of memory); fp32 on cpu is used instead'],
    });
  });

  it('is left out if it is not wanted, or there is nothing to compare with', async () => {
    const { host: _, ...alone } = gpu;
    for (const options of [
      { device: altered(alone, LAYERS, () => 0) },
      { device: altered(gpu, LAYERS, () => 0), check: false },
    ]) {
      expect((await sampled(config, options)).ranOn).toEqual(['webgpu', 'fp32']);
    }
  });

  it('leaves broken weights to sampling, which names them', async () => {
    const weights = new Map(formulaWeights(config));
    const name = 'blocks.1.mlp.fc1.bias';
    weights.set(name, { ...weights.get(name)!, data: weights.get(name)!.data.map(() => Number.NaN) });
    const sampler = await createSampler({ config, weights, device: gpu });
    await expect(finalLatents(sampler.sample({ labels: [0], steps: 1 }))).rejects.toThrow(name);
    await sampler.dispose();
  });

  it('frees what it compiled when a fallback is refused', async () => {
    let alive = 0;
    const counting = <P extends { dispose(): Promise<void> }>(program: P): P => {
      alive++;
      return { ...program, dispose: () => program.dispose().then(() => void alive--) };
    };
    const counted = {
      compile: async (...args: Parameters<Device['compile']>) => counting(await cpu.compile(...args)),
      compileKeeping: async (...args: Parameters<Device['compileKeeping']>) =>
        counting(await cpu.compileKeeping(...args)),
    };
    const host = async (): Promise<Device> => ({ ...cpu, ...counted });
    const device = altered({ ...gpu, ...counted, host }, LAYERS, () => 0);
    const onFallback = (): never => {
      throw new Error('not enough memory');
    };
    const refused = sampled(config, { device, onFallback });
    await expect(refused).rejects.toThrow('not enough memory');
    expect(alive).toBe(0);
  });
});
