import { describe, expect, it } from 'vitest';
import { type Video, videoDeletedSchema, videoListSchema, videoSchema } from '../../src/server/api.ts';
import { errorOf, tinyServer } from '../support/tiny-server.ts';

const server = await tinyServer();
const PATH = '/v1/videos';

async function ask(body: object = {}): Promise<Video> {
  const response = await server.post(PATH, { prompt: '1', model: 'clips', steps: 2, ...body });
  expect(response.status).toBe(200);
  return videoSchema.parse(await response.json());
}

async function finished(id: string): Promise<Video> {
  for (;;) {
    const video = videoSchema.parse(await (await server.get(`${PATH}/${id}`)).json());
    if (video.status === 'completed' || video.status === 'failed') return video;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('videos', () => {
  it('are made in the background, and then there as MP4', async () => {
    const video = await ask({ fps: 2, seed: 3 });
    expect(video).toMatchObject({ status: 'queued', progress: 0, seconds: '4', size: '4x4', seed: 3 });
    const early = await server.get(`${PATH}/${video.id}/content`);
    expect(early.status).toBe(409);
    expect(await finished(video.id)).toMatchObject({ status: 'completed', progress: 100, error: null });
    const content = await server.get(`${PATH}/${video.id}/content`);
    expect(content.headers.get('content-type')).toBe('video/mp4');
    expect(Buffer.from(await content.arrayBuffer()).toString('latin1', 4, 8)).toBe('ftyp');
  });

  it('come from the first model of videos unless another is named', async () => {
    const video = await ask({ model: undefined });
    expect(video.model).toBe('clips');
    await finished(video.id);
    const wrong = await server.post(PATH, { prompt: '1', model: 'pictures' });
    expect(await errorOf(wrong)).toMatchObject({ code: 'wrong_model' });
  });

  it('are listed page by page, and forgotten', async () => {
    for (const { id } of videoListSchema.parse(await (await server.get(PATH)).json()).data) {
      await server.app.request(`${PATH}/${id}`, { method: 'DELETE' });
    }
    const ids = [(await ask()).id, (await ask()).id, (await ask()).id];
    for (const id of ids) await finished(id);
    const page = async (query: string) =>
      videoListSchema.parse(await (await server.get(`${PATH}?${query}`)).json());
    const first = await page('limit=2');
    expect([first.data.map(({ id }) => id), first.has_more]).toEqual([[ids[2], ids[1]], true]);
    const rest = await page(`limit=2&after=${first.last_id}`);
    expect([rest.data.map(({ id }) => id), rest.has_more]).toEqual([[ids[0]], false]);
    expect((await page('order=asc')).first_id).toBe(ids[0]);
    for (const limit of ['x', '-1', '0', '101', '1.5']) {
      const refused = await server.get(`${PATH}?limit=${limit}`);
      expect([refused.status, (await errorOf(refused)).message]).toEqual([
        400,
        'limit: must be a whole number from 1 to 100',
      ]);
    }

    const deleted = await server.app.request(`${PATH}/${ids[0]}`, { method: 'DELETE' });
    expect(videoDeletedSchema.parse(await deleted.json()).id).toBe(ids[0]);
    expect((await server.get(`${PATH}/${ids[0]}`)).status).toBe(404);
    expect((await server.get(`${PATH}/${ids[0]}/content`)).status).toBe(404);
  });

  it('make room for new ones when they are finished, and are refused while all are being made', async () => {
    const other = await tinyServer({ limits: { videos: 1 } });
    const body = { prompt: '1', model: 'clips', steps: 40 };
    const { id } = (await (await other.post(PATH, body)).json()) as Video;
    const refused = await other.post(PATH, body);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    await other.app.request(`${PATH}/${id}`, { method: 'DELETE' });
    expect((await other.post(PATH, body)).status).toBe(200);
    other.close();
  });

  it('fail with the reason', async () => {
    const other = await tinyServer({ limits: { deadline: 0.01 } });
    const { id } = (await (
      await other.post(PATH, { prompt: '1', model: 'clips', steps: 50 })
    ).json()) as Video;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const video = videoSchema.parse(await (await other.get(`${PATH}/${id}`)).json());
    expect(video).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect((await other.get(`${PATH}/${id}/content`)).status).toBe(409);
  });

  it('are not made by models of pictures', async () => {
    const response = await server.post(PATH, { prompt: '1', model: 'pictures' });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe('model');
  });
});
