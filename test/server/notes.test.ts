/** @file Notes: which class a prompt was taken as, where it could mean two, in every answer of the server and the AI SDK. */

import { generateImage, experimental_generateVideo as generateVideo } from 'ai';
import { describe, expect, it } from 'vitest';
import { createAcdit } from '../../src/ai-sdk/index.ts';
import {
  type ImageEvent,
  imageEventSchema,
  imagesSchema,
  type StreamEvent,
  streamEventSchema,
  videoListSchema,
  videoSchema,
} from '../../src/server/api.ts';
import { eventsOf, tinyServer } from '../support/tiny-server.ts';

(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;
const server = await tinyServer({ classNames: ['2', '1', 'bag'] });
/** The name goes before the number: '2' is the class of number 0, although there is a class of number 2. */
const note = "'2' is taken as the class named '2' (number 0), not as class number 2 ('bag')";
const clear: (string | number)[] = ['bag', '0', 2, 'none'];

const post = async (path: string, body: object): Promise<unknown> => {
  const response = await server.post(path, { steps: 1, seed: 1, ...body });
  expect(response.status).toBe(200);
  return response.json();
};

describe('notes of the server', () => {
  it('are in answers with images', async () => {
    const ask = async (prompt: unknown) =>
      imagesSchema.parse(await post('/v1/images/generations', { model: 'pictures', prompt }));
    const noted = await ask('2');
    expect(noted.notes).toEqual([note]);
    // What the note says is what was made: the image of class number 0.
    expect(noted.data).toEqual((await ask(0)).data);
    expect(noted.data).not.toEqual((await ask(2)).data);
    expect((await ask(['2', 'bag', '2', 2])).notes).toEqual([note]);
    for (const prompt of clear) expect((await ask(prompt)).notes).toEqual([]);
  });

  it('are in the last event of streamed images', async () => {
    const ask = async (prompt: unknown) => {
      const body = { model: 'pictures', prompt, steps: 1, stream: true };
      const response = await server.post('/v1/images/generations', body);
      const events = (await eventsOf<ImageEvent>(response)).map((event) => imageEventSchema.parse(event));
      return events.flatMap((event) => ('notes' in event ? event.notes : []));
    };
    expect(await ask('2')).toEqual([note]);
    for (const prompt of clear) expect(await ask(prompt)).toEqual([]);
  });

  it('are in the first event of a stream', async () => {
    const ask = async (prompt: unknown) => {
      const response = await server.post('/v1/acdit/stream', { model: 'pictures', prompt, steps: 1 });
      const [started] = (await eventsOf<StreamEvent>(response)).map((event) =>
        streamEventSchema.parse(event),
      );
      return started;
    };
    expect(await ask('2')).toMatchObject({ type: 'started', labels: [[0, 0, 0, 0]], notes: [note] });
    for (const prompt of clear) expect(await ask(prompt)).toMatchObject({ type: 'started', notes: [] });
  });

  it('are in the job of a video, whenever it is asked for', async () => {
    const video = videoSchema.parse(await post('/v1/videos', { model: 'clips', prompt: '2' }));
    expect(video.notes).toEqual([note]);
    const again = videoSchema.parse(await (await server.get(`/v1/videos/${video.id}`)).json());
    expect(again.notes).toEqual([note]);
    const { data } = videoListSchema.parse(await (await server.get('/v1/videos')).json());
    expect(data.map(({ notes }) => notes)).toEqual([[note]]);
    expect(videoSchema.parse(await post('/v1/videos', { model: 'clips', prompt: 'bag' })).notes).toEqual([]);
  });
});

describe("warnings of the AI SDK's models", () => {
  const acdit = createAcdit({
    baseURL: 'http://server.example/',
    fetch: async (url, init) => server.app.request(String(url), init),
  });
  const providerOptions = { acdit: { steps: 1 } };
  const warning = { type: 'other', message: note };

  it('hold the notes on an image', async () => {
    const ask = async (prompt: string) =>
      (await generateImage({ model: acdit('pictures'), prompt, providerOptions })).warnings;
    expect(await ask('2')).toEqual([warning]);
    expect(await ask('bag')).toEqual([]);
  });

  it('hold the notes on a video', async () => {
    const ask = async (prompt: string) =>
      (await generateVideo({ model: acdit.video('clips'), prompt, providerOptions })).warnings;
    expect(await ask('2')).toEqual([warning]);
    expect(await ask('bag')).toEqual([]);
  });
});
