import { afterAll, describe, expect, it } from 'vitest';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import { type EncodedTensor, type StreamEvent, streamEventSchema } from '../../src/server/api.ts';
import { decodeTensor, encodeTensor } from '../../src/server/pictures.ts';
import { joinAxis, sliceAxis } from '../../src/tensor/axes.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { tinyPixels } from '../support/tiny-model.ts';
import { errorOf, eventsOf, tinyServer } from '../support/tiny-server.ts';

const server = await tinyServer();
const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const PATH = '/v1/acdit/stream';

async function streamOf(body: object): Promise<StreamEvent[]> {
  const response = await server.post(PATH, body);
  expect(response.status).toBe(200);
  return (await eventsOf<StreamEvent>(response)).map((event) => streamEventSchema.parse(event));
}

function of<T extends StreamEvent['type']>(events: readonly StreamEvent[], type: T) {
  return events.filter((event): event is StreamEvent & { type: T } => event.type === type);
}

const tensorOf = (encoded: EncodedTensor | undefined): Tensor<'float32'> => decodeTensor(encoded!, 'test');

describe('POST /v1/acdit/stream', () => {
  it('tells of every step, and sends every block, and the whole', async () => {
    const events = await streamOf({ prompt: 'bag', n: 2, steps: 3, seed: 4, latents: true });
    expect(events.map(({ type }) => type)).toEqual([
      'started',
      ...Array(4).fill(['step', 'step', 'step', 'block']).flat(),
      'done',
    ]);
    const [started] = of(events, 'started');
    expect(started).toMatchObject({ samples: 2, blocks: 4, total_steps: 12, seed: 4, size: '8x8' });
    expect(of(events, 'step').map(({ done }) => done)).toEqual([...Array(12).keys()].map((i) => i + 1));
    const blocks = of(events, 'block').map(({ latents }) => tensorOf(latents));
    const [done] = of(events, 'done');
    const joined = joinAxis(
      blocks.map(({ shape: [n, ...inner], data, dtype }) => ({ dtype, shape: [n, 1, ...inner], data })),
      1,
    );
    expect(tensorOf(done.latents)).toEqual(joined);
    expect(of(events, 'block').at(-1)!.images).toEqual(done.images);
    expect(done.images).toHaveLength(2);
  });

  it('samples by presets, whose values are replaced by what is given', async () => {
    const ask = { prompt: 'bag', seed: 4, latents: true, output_format: 'none' };
    const fast = await streamOf({ ...ask, preset: 'fast' });
    expect(of(fast, 'started')[0]).toMatchObject({
      ...{ steps: [3, 3, 3, 3], total_steps: 12, cfg_scale: [2, 2, 2, 2], guidance_interval: [-2, 6] },
      passes: [4, 4, 4, 4],
    });
    expect(of(fast, 'step').map(({ passes }) => passes)).toEqual(Array(4).fill([1, 1, 2]).flat());
    const more = await streamOf({ ...ask, preset: 'fast', steps: 5, cfg_scale: 1 });
    expect(of(more, 'started')[0]).toMatchObject({ passes: [5, 5, 5, 5], guidance_interval: null });
    expect(of(await streamOf(ask), 'started')[0]).toMatchObject({ steps: [25, 25, 25, 25] });
    const spelled = { solver: 'tuned', steps: 3, guidance: { scale: 2, interval: [-2, 6] } };
    const same = await streamOf({ ...ask, ...spelled });
    expect(of(same, 'done')[0].latents).toEqual(of(fast, 'done')[0].latents);
    const { data } = (await (await server.get('/v1/models')).json()) as { data: object[] };
    expect(data[0]).toMatchObject({
      preset: 'exact',
      tuned_steps: [3, 5],
      fast_steps: 3,
      guidance: { scale: 1.5 },
    });
  });

  it('previews the block in progress', async () => {
    const events = await streamOf({ prompt: '1', steps: 6, preview_every: 2, output_format: 'webp' });
    const previews = of(events, 'preview');
    expect(previews.length).toBeGreaterThan(0);
    for (const { step, images, first_frame, latents } of previews) {
      expect([2, 4]).toContain(step);
      expect([images!.length, first_frame, latents]).toEqual([1, 0, undefined]);
    }
    expect(of(await streamOf({ prompt: '1', steps: 6 }), 'preview')).toEqual([]);
  });

  it('previews all blocks that are denoised together', async () => {
    const config: AcditConfig = { ...tinyPixels, attention: 'full' };
    const sampler = await createSampler({ config, weights: formulaWeights(config), device });
    const { post } = await tinyServer({ around: () => sampler });
    const ask = { prompt: '1', steps: 4, preview_every: 2, latents: true, output_format: 'none', seed: 5 };
    const response = await post(PATH, ask);
    const previews = of(await eventsOf<StreamEvent>(response), 'preview');
    expect(previews.map(({ step, block }) => [step, block])).toEqual([0, 1, 2, 3].map((block) => [2, block]));
    const cleans: unknown[] = [];
    for await (const event of sampler.sample({ labels: [1], steps: 4, seed: 5 })) {
      if (event.kind === 'step' && event.step === 2) cleans.push(event.clean);
    }
    expect(previews.map(({ latents }) => tensorOf(latents))).toEqual(cleans);
    await sampler.dispose();
  });

  it('noises finished blocks for those that attend them, as the model itself would', async () => {
    const ask = { prompt: '1', steps: 2, seed: 5, latents: true, output_format: 'none' };
    const asked = tensorOf(of(await streamOf({ ...ask, context_noise: 300 }), 'done')[0].latents);
    const config: AcditConfig = { ...tinyPixels, contextNoise: 300 };
    const sampler = await createSampler({ config, weights: formulaWeights(config), device });
    expect(asked).toEqual(await finalLatents(sampler.sample({ labels: [1], steps: 2, seed: 5 })));
    expect(asked).not.toEqual(tensorOf(of(await streamOf(ask), 'done')[0].latents));
    await sampler.dispose();
  });

  it('samples each of several prompts, and continues given blocks to the same end', async () => {
    const ask = { prompts: ['bag', ['0', '1', '1', 'none']], steps: 2, seed: 9, latents: true };
    const whole = tensorOf(of(await streamOf(ask), 'done')[0].latents);
    const given = encodeTensor(sliceAxis(whole, 1, 0, 2));
    const events = await streamOf({ ...ask, given, output_format: 'none' });
    expect(of(events, 'block').map((event) => event.given)).toEqual([true, true, false, false]);
    expect(of(events, 'step')).toHaveLength(4);
    const again = tensorOf(of(events, 'done')[0].latents);
    expect(of(events, 'done')[0].images).toBeUndefined();
    for (const [i, value] of whole.data.entries()) expect(again.data[i]).toBeCloseTo(value, 4);
  });

  it('sends the frames of clips with their blocks', async () => {
    const events = await streamOf({ prompt: '1', model: 'clips', steps: 2 });
    const frames = of(events, 'block').map(({ first_frame, images }) => [first_frame, images![0].length]);
    expect(frames).toEqual([0, 2, 4, 6].map((first) => [first, 2]));
    expect(of(events, 'done')[0].images).toBeUndefined();
  });

  it.each([
    ['no prompt', {}, /either prompt or prompts/],
    ['both', { prompt: '1', prompts: ['1'] }, /either prompt or prompts/],
    ['blocks of another shape', { prompt: '1', given: { shape: [1], data: 'AAAAAA==' } }, /given must have/],
    ['all blocks', { prompt: '1', given: encodeZeros([1, 4, 4, 4]) }, /1 to 3/],
    ['too little data', { prompt: '1', given: { shape: [1, 1, 4, 4], data: '' } }, /takes 64 bytes, got 0/],
    ['NaN', { prompt: '1', given: encodeNaN() }, /NaN/],
  ])('refuses %s', async (_, body, message) => {
    const response = await server.post(PATH, body);
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toMatch(message);
  });
});

function encodeZeros(shape: number[]): EncodedTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return encodeTensor({ dtype: 'float32', shape, data: new Float32Array(count) });
}

function encodeNaN(): EncodedTensor {
  return encodeTensor({ dtype: 'float32', shape: [1, 1, 4, 4], data: new Float32Array(16).fill(Number.NaN) });
}
