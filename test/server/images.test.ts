import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { imageFromSamples } from '../../src/media/pixels.ts';
import { unpatchify } from '../../src/models/acdit/layout.ts';
import { finalLatents } from '../../src/sampling/sampler.ts';
import { type ImageEvent, imageEventSchema, imagesSchema, modelListSchema } from '../../src/server/api.ts';
import { tinyPixels } from '../support/tiny-model.ts';
import { errorOf, eventsOf, tinyServer } from '../support/tiny-server.ts';

const server = await tinyServer();
const PATH = '/v1/images/generations';

/** Pixels of a picture file. */
async function pixelsOf(base64: string): Promise<Uint8Array> {
  return sharp(Buffer.from(base64, 'base64')).toColourspace('b-w').raw().toBuffer();
}

/** What the model makes when it is asked directly. */
async function expectedPixels(
  labels: (number | number[])[],
  seed: number,
  steps = 25,
): Promise<Uint8Array[]> {
  const latents = await finalLatents(server.samplers.pictures.sample({ labels, seed, steps }));
  const { data } = unpatchify(tinyPixels, latents);
  return labels.map((_, n) => imageFromSamples(data.subarray(n * 64, (n + 1) * 64), [1, 8, 8]).data);
}

describe('GET /v1/models', () => {
  it('lists the models with what is to know of them', async () => {
    const { data } = modelListSchema.parse(await (await server.get('/v1/models')).json());
    expect(data.map(({ id, kind, frames }) => [id, kind, frames])).toEqual([
      ['pictures', 'image', 1],
      ['clips', 'video', 8],
    ]);
    expect(data[0]).toMatchObject({ width: 8, height: 8, class_names: ['T-shirt/top', 'Sneaker', 'Bag'] });
    expect(await (await server.get('/v1/models/pictures')).json()).toEqual(data[0]);
  });

  it('knows no others', async () => {
    const response = await server.get('/v1/models/picture');
    expect(response.status).toBe(404);
    expect((await errorOf(response)).message).toContain("did you mean 'pictures'?");
  });
});

describe('POST /v1/images/generations', () => {
  it('gives the pictures that the sampler makes', async () => {
    const response = await server.post(PATH, { prompt: 'sneaker', n: 2, seed: 7, model: 'pictures' });
    expect(response.status).toBe(200);
    const answer = imagesSchema.parse(await response.json());
    expect(answer).toMatchObject({ seed: 7, size: '8x8', output_format: 'png', model: 'pictures' });
    const pixels = await Promise.all(answer.data.map(({ b64_json }) => pixelsOf(b64_json!)));
    expect(pixels.map((p) => [...p])).toEqual((await expectedPixels([1, 1], 7)).map((p) => [...p]));
  });

  it("takes what OpenAI's clients send, and labels, steps and guidance by block", async () => {
    const body = {
      prompt: ['bag', 0, 1, 'none'],
      steps: [2, 3, 2, 1],
      cfg_scale: [1, 2, 1, 0],
      size: '8x8',
      quality: 'high',
      user: 'somebody',
      solver: 'ddim',
      seed: 1,
    };
    const response = await server.post(PATH, body);
    expect(response.status).toBe(200);
  });

  it('draws a seed where none is given, and says which', async () => {
    const make = async (seed?: number) =>
      imagesSchema.parse(await (await server.post(PATH, { prompt: '1', steps: 2, seed })).json());
    const [first, second] = [await make(), await make()];
    expect(first.seed).not.toBe(second.seed);
    expect(first.data).not.toEqual(second.data);
    expect((await make(first.seed)).data).toEqual(first.data);
  });

  it.each(['webp', 'jpeg'] as const)('encodes as %s', async (output_format) => {
    const response = await server.post(PATH, { prompt: '1', steps: 1, output_format });
    const { data } = imagesSchema.parse(await response.json());
    const { format, width } = await sharp(Buffer.from(data[0].b64_json!, 'base64')).metadata();
    expect([format, width]).toEqual([output_format, 8]);
  });

  it('keeps pictures for whoever has the URL', async () => {
    const ask = { prompt: 'bag', seed: 3, steps: 2 };
    const { data } = imagesSchema.parse(
      await (await server.post(PATH, { ...ask, response_format: 'url' })).json(),
    );
    const file = await server.app.request(data[0].url!);
    expect(file.headers.get('content-type')).toBe('image/png');
    const direct = imagesSchema.parse(await (await server.post(PATH, ask)).json());
    expect(Buffer.from(await file.arrayBuffer()).toString('base64')).toBe(direct.data[0].b64_json);
    expect((await server.get('/v1/files/other')).status).toBe(404);
  });

  it('streams pictures on the way, then the finished ones', async () => {
    const ask = { prompt: '2', seed: 5, n: 2, steps: 3 };
    const response = await server.post(PATH, { ...ask, stream: true, partial_images: 2 });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = (await eventsOf<ImageEvent>(response)).map((event) => imageEventSchema.parse(event));
    expect(events.map((event) => [event.type, 'index' in event && event.index])).toEqual([
      ...[0, 1, 0, 1].map((index) => ['image_generation.partial_image', index]),
      ...[0, 1].map((index) => ['image_generation.completed', index]),
    ]);
    const whole = imagesSchema.parse(await (await server.post(PATH, ask)).json());
    const completed = events.slice(4).map((event) => ('b64_json' in event ? event.b64_json : ''));
    expect(completed).toEqual(whole.data.map(({ b64_json }) => b64_json));
  });

  it('refuses models of clips', async () => {
    const response = await server.post(PATH, { prompt: '1', model: 'clips' });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toContain('use /v1/videos');
  });
});
