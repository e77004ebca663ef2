/** @file The server as OpenAI's own client sees it. */

import OpenAI from 'openai';
import { describe, expect, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import {
  type ImageRequest,
  type imageRequestSchema,
  imagesSchema,
  OPENAI_SIZES,
  type Video,
  type videoRequestSchema,
} from '../../src/server/api.ts';
import { tinyServer } from '../support/tiny-server.ts';

const server = await tinyServer({ apiKey: 'secret' });
const client = clientOf(server);

function clientOf({ app }: Awaited<ReturnType<typeof tinyServer>>): OpenAI {
  return new OpenAI({
    baseURL: 'http://localhost/v1',
    apiKey: 'secret',
    maxRetries: 0,
    fetch: async (url, init) => app.request(String(url), init),
  });
}

/** Fields that the API has and OpenAI's has not. */
const fast = { steps: 1, seed: 1 } as object;

async function finished(id: string): Promise<OpenAI.Video> {
  for (;;) {
    const video = await client.videos.retrieve(id);
    if (video.status === 'completed' || video.status === 'failed') return video;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('requests of the types of OpenAI', () => {
  it('fit the schemas, with all that may be null', () => {
    type Given = z.input<typeof imageRequestSchema>;
    expectTypeOf<OpenAI.Images.ImageGenerateParams>().toExtend<Given>();
    // There is nothing that a reference could do here: it is refused.
    expectTypeOf<Omit<OpenAI.VideoCreateParams, 'input_reference'>>().toExtend<
      z.input<typeof videoRequestSchema>
    >();
    expectTypeOf<Video>().toExtend<Omit<OpenAI.Video, 'size'>>();
    expectTypeOf<ImageRequest['n']>().toEqualTypeOf<number>();
  });

  it('have their sizes', () => {
    // As the types of images.generate list them; they also allow any string.
    const images = ['256x256', '512x512', '1024x1024', '1024x1536', '1024x1792', '1536x1024', '1792x1024'];
    const videos: Record<OpenAI.VideoSize, true> = {
      '720x1280': true,
      '1280x720': true,
      '1024x1792': true,
      '1792x1024': true,
    };
    expect([...OPENAI_SIZES].sort()).toEqual([...new Set([...images, ...Object.keys(videos)])].sort());
  });
});

describe('images.generate', () => {
  it('takes null for everything optional', async () => {
    const nothing = {
      ...{ background: null, model: null, moderation: null, n: null, output_compression: null },
      ...{ output_format: null, partial_images: null, quality: null, response_format: null },
      ...{ size: null, stream: null, style: null },
    } satisfies Omit<OpenAI.Images.ImageGenerateParamsNonStreaming, 'prompt'>;
    const ours = { user: null, solver: null, cfg_scale: null } as object;
    const answer = await client.images.generate({ prompt: 'bag', ...nothing, ...ours, ...fast });
    const plain = await client.images.generate({ prompt: 'bag', ...fast });
    expect(answer.data).toEqual(plain.data);
    expect(answer.data).toHaveLength(1);
    expect(imagesSchema.parse(answer)).toMatchObject({ model: 'pictures', output_format: 'png' });
  });

  it('does not take null for the prompt', async () => {
    const generate = client.images.generate({ prompt: null as unknown as string });
    await expect(generate).rejects.toMatchObject({ status: 400, param: 'prompt' });
  });

  it("makes the model's size of a size of OpenAI's list, and says which", async () => {
    for (const size of ['1024x1024', '1792x1024', 'auto', '8x8']) {
      const answer = await client.images.generate({ prompt: '1', size, ...fast });
      expect(answer.size).toBe('8x8');
    }
    for (const size of ['1000x1000', '16x16', '8x9', '0x0', '08x8']) {
      const generate = client.images.generate({ prompt: '1', size, ...fast });
      await expect(generate).rejects.toMatchObject({ status: 400, param: 'size' });
    }
  });

  it('streams', async () => {
    const stream = await client.images.generate({ prompt: '1', stream: true, partial_images: 1, ...fast });
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    expect(types).toEqual(['image_generation.partial_image', 'image_generation.completed']);
  });
});

describe('a strict server', () => {
  it("refuses all sizes but the model's own", async () => {
    const strict = clientOf(await tinyServer({ limits: { strictSize: true } }));
    await expect(strict.images.generate({ prompt: '1', size: '1024x1024', ...fast })).rejects.toMatchObject({
      status: 400,
      param: 'size',
    });
    expect((await strict.images.generate({ prompt: '1', size: '8x8', ...fast })).size).toBe('8x8');
    const video = strict.videos.create({ prompt: '1', model: 'clips', size: '720x1280', ...fast });
    await expect(video).rejects.toMatchObject({ status: 400, param: 'size' });
  });
});

describe('videos', () => {
  it('are made of forms, listed, fetched and deleted', async () => {
    const { id, ...created } = await client.videos.create({
      prompt: '1',
      model: 'clips',
      seconds: '4',
      size: '720x1280',
      ...({ fps: 2, steps: [1, 2, 1, 2], seed: 3, cfg_scale: 1.5, solver: 'ddim', window: 'null' } as object),
    });
    expect(created).toMatchObject({ status: 'queued', size: '4x4', seconds: '4', prompt: '1', seed: 3 });
    expect((await finished(id)).status).toBe('completed');
    const listed: string[] = [];
    for await (const video of client.videos.list({ limit: 1 })) listed.push(video.id);
    expect(listed).toEqual([id]);
    const content = await client.videos.downloadContent(id);
    const form = Buffer.from(await content.arrayBuffer());
    expect(content.headers.get('content-type')).toBe('video/mp4');

    const body = {
      ...{ prompt: '1', model: 'clips', seconds: 4, fps: 2, seed: 3 },
      ...{ steps: [1, 2, 1, 2], cfg_scale: 1.5, solver: 'ddim' },
    };
    const headers = { authorization: 'Bearer secret' };
    const json = (await (await server.post('/v1/videos', body, { headers })).json()) as Video;
    await finished(json.id);
    const direct = await client.videos.downloadContent(json.id);
    expect(Buffer.from(await direct.arrayBuffer()).length).toBe(form.length);

    expect(await client.videos.delete(id)).toMatchObject({ id, deleted: true });
    await expect(client.videos.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });

  it('refuse what cannot be: other variants, references, pages after a video that does not exist', async () => {
    const { id } = await client.videos.create({ prompt: '1', model: 'clips', ...fast });
    await finished(id);
    const thumbnail = client.videos.downloadContent(id, { variant: 'thumbnail' });
    await expect(thumbnail).rejects.toMatchObject({ status: 400, param: 'variant' });
    await expect(client.videos.list({ after: 'video_0' })).rejects.toMatchObject({ status: 404 });
    await expect(client.videos.list({ order: 'up' as 'asc' })).rejects.toMatchObject({ param: 'order' });
    await expect(client.videos.list({ limit: 101 })).rejects.toMatchObject({ param: 'limit' });
    const input_reference = new File([new Uint8Array([1])], 'frame.png', { type: 'image/png' });
    const referring = client.videos.create({ prompt: '1', model: 'clips', input_reference });
    await expect(referring).rejects.toMatchObject({ status: 400, param: 'input_reference' });
    const wrong = client.videos.create({ prompt: '1', model: 'clips', ...({ steps: 'many' } as object) });
    await expect(wrong).rejects.toMatchObject({ status: 400, param: 'steps' });
  });

  it('read a form as text: a number is a class by its name, as text in JSON is', async () => {
    const { id, prompt } = await client.videos.create({ prompt: '2', model: 'clips', ...fast });
    expect(prompt).toBe('2');
    expect((await finished(id)).status).toBe('completed');
  });
});
