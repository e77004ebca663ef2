import { generateImage, experimental_generateVideo as generateVideo } from 'ai';
import { describe, expect, it, vi } from 'vitest';
import { createAcdit } from '../../src/ai-sdk/index.ts';
import { imagesSchema, videoListSchema } from '../../src/server/api.ts';
import { tinyServer } from '../support/tiny-server.ts';

(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;
const server = await tinyServer({ apiKey: 'secret' });
const acdit = createAcdit({
  baseURL: 'http://server.example/',
  apiKey: 'secret',
  fetch: async (url, init) => server.app.request(String(url), init),
});

describe("the AI SDK's generateImage", () => {
  it('gives the pictures of the server', async () => {
    const providerOptions = { acdit: { steps: 2, cfg_scale: 2 } };
    const { images, warnings, providerMetadata } = await generateImage({
      model: acdit('pictures'),
      prompt: 'sneaker',
      n: 2,
      seed: 5,
      size: '8x8',
      providerOptions,
    });
    const body = { prompt: 'sneaker', n: 2, seed: 5, ...providerOptions.acdit };
    const headers = { authorization: 'Bearer secret' };
    const direct = imagesSchema.parse(
      await (await server.post('/v1/images/generations', body, { headers })).json(),
    );
    expect(images.map(({ base64 }) => base64)).toEqual(direct.data.map(({ b64_json }) => b64_json));
    expect(images[0].mediaType).toBe('image/png');
    expect(warnings).toEqual([]);
    expect(providerMetadata.acdit).toEqual({ images: [0, 1].map((index) => ({ seed: 5, index })) });
  });

  it('makes all images in one request, so that none is there twice, or reports the limit of the server', async () => {
    const generous = await tinyServer({ limits: { samples: 12 } });
    const model = createAcdit({ fetch: async (url, init) => generous.app.request(String(url), init) })(
      'pictures',
    );
    const call = { prompt: '1', seed: 1, providerOptions: { acdit: { steps: 1 } } };
    const { images } = await generateImage({ ...call, model, n: 12 });
    expect(new Set(images.map(({ base64 }) => base64)).size).toBe(12);
    await expect(generateImage({ ...call, model, n: 13 })).rejects.toThrow(/n\b.*at most 12/);
  });

  it('warns of what these models cannot do', async () => {
    const model = acdit.imageModel('pictures');
    const { warnings } = await generateImage({
      model,
      prompt: '1',
      aspectRatio: '1:1',
      providerOptions: { acdit: { steps: 1 } },
    });
    expect(warnings).toMatchObject([{ type: 'unsupported', feature: 'aspectRatio' }]);
  });

  it("makes the model's size of one of OpenAI's, and warns", async () => {
    const call = { model: acdit('pictures'), prompt: '1', providerOptions: { acdit: { steps: 1 } } };
    const { warnings } = await generateImage({ ...call, size: '1024x1024' });
    const details = 'the model makes samples of 8x8, not 1024x1024';
    expect(warnings).toEqual([{ type: 'unsupported', feature: 'size', details }]);
    await expect(generateImage({ ...call, size: '10x10' })).rejects.toThrow('8x8');
  });

  it('takes a key with a line break, and shows none that cannot be sent', async () => {
    const keyed = (apiKey: string) =>
      createAcdit({ apiKey, fetch: async (url, init) => server.app.request(String(url), init) });
    const call = { prompt: '1', providerOptions: { acdit: { steps: 1 } } };
    const { images } = await generateImage({ ...call, model: keyed('secret\n')('pictures') });
    expect(images).toHaveLength(1);
    for (const apiKey of ['hush\nhush', 'hüsh', '']) {
      await expect(generateImage({ ...call, model: keyed(apiKey)('pictures') })).rejects.toThrow(
        /^the API key (?!.*h[uü]sh)/,
      );
    }
  });

  it('passes on what the server refuses, and a wrong key', async () => {
    await expect(generateImage({ model: acdit('pictures'), prompt: 'sneeker' })).rejects.toThrow(
      "did you mean 'Sneaker'?",
    );
    const keyless = createAcdit({ fetch: async (url, init) => server.app.request(String(url), init) });
    await expect(generateImage({ model: keyless('pictures'), prompt: '1' })).rejects.toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    });
  });

  it('stops with the signal', async () => {
    const abortSignal = AbortSignal.timeout(50);
    const call = generateImage({
      model: acdit('pictures'),
      prompt: '1',
      abortSignal,
      providerOptions: { acdit: { steps: 50 } },
    });
    await expect(call).rejects.toThrow();
    expect(server.models[0].gate.busy).toBe(0);
  });
});

describe("the AI SDK's generateVideo", () => {
  const providerOptions = { acdit: { steps: 2 } };
  const headers = { authorization: 'Bearer secret' };
  const startOptions = (options: object) => ({
    prompt: '1',
    n: 1,
    resolution: undefined,
    aspectRatio: undefined,
    duration: undefined,
    fps: undefined,
    seed: undefined,
    image: undefined,
    frameImages: undefined,
    inputReferences: undefined,
    generateAudio: undefined,
    providerOptions,
    ...options,
  });
  const jobs = async () => videoListSchema.parse(await (await server.get('/v1/videos', headers)).json()).data;
  const content = async (id: string) =>
    new Uint8Array(await (await server.get(`/v1/videos/${id}/content`, headers)).arrayBuffer());

  it('gives the clip of the server', async () => {
    const { video, warnings, providerMetadata, responses } = await generateVideo({
      model: acdit.video('clips'),
      prompt: '1',
      seed: 3,
      fps: 2,
      duration: 2,
      resolution: '4x4',
      providerOptions,
    });
    const [job] = await jobs();
    expect(job).toMatchObject({ model: 'clips', seed: 3, seconds: '2', blocks: 2, status: 'completed' });
    expect(video.mediaType).toBe('video/mp4');
    expect(video.uint8Array).toEqual(await content(job.id));
    expect(warnings).toEqual([]);
    expect(responses).toMatchObject([{ modelId: 'clips' }]);
    const made = { id: job.id, seed: 3, seconds: 2, blocks: 2, untrained: null };
    expect(providerMetadata.acdit).toEqual({ videos: [made] });
  });

  // Version 7 of the SDK calls these to poll, to start a clip, and to ask for one; its real calls are in examples.test.ts.
  it('starts a clip, and reports its state', async () => {
    const model = acdit.videoModel('clips');
    const { operation, warnings } = await model.doStart(startOptions({ aspectRatio: '1:1' }));
    expect(warnings).toMatchObject([{ type: 'unsupported', feature: 'aspectRatio' }]);
    expect((await model.doStatus({ operation })).status).toMatch(/pending|completed/);
    await vi.waitFor(async () => {
      const state = await model.doStatus({ operation });
      expect(state.status).toBe('completed');
      if (state.status !== 'completed') return;
      expect(state.videos).toEqual([
        { type: 'binary', data: await content(operation), mediaType: 'video/mp4' },
      ]);
    });
  });

  it('warns of what these models cannot do', async () => {
    const { warnings } = await generateVideo({
      model: acdit.video('clips'),
      prompt: { image: new Uint8Array([0x89, 0x50, 0x4e, 0x47]), text: '1' },
      generateAudio: true,
      providerOptions,
    });
    expect(warnings.map((warning) => 'feature' in warning && warning.feature)).toEqual([
      'image',
      'generateAudio',
    ]);
  });

  it('passes on what the server refuses', async () => {
    const call = (options: object) =>
      generateVideo({ model: acdit.video('clips'), prompt: '1', providerOptions, ...options });
    await expect(call({ prompt: 'sneeker' })).rejects.toMatchObject({ status: 400 });
    await expect(call({ resolution: '64x64' })).rejects.toThrow('4x4');
    const { warnings } = await call({ resolution: '1280x720' });
    const details = 'the model makes samples of 4x4, not 1280x720';
    expect(warnings).toEqual([{ type: 'unsupported', feature: 'resolution', details }]);
    await expect(call({ model: acdit.video('pictures') })).rejects.toMatchObject({ code: 'wrong_model' });
  });

  it.each([0, 50])('stops the work with the signal, after %s ms', async (wait) => {
    const requests: string[] = [];
    const { video } = createAcdit({
      apiKey: 'secret',
      fetch: async (url, init) => {
        const response = await server.app.request(String(url), init);
        requests.push(`${init?.method} ${response.status}`);
        return response;
      },
    });
    const call = generateVideo({
      model: video('clips'),
      prompt: '1',
      abortSignal: AbortSignal.timeout(wait),
      providerOptions: { acdit: { steps: 50 } },
    });
    await expect(call).rejects.toMatchObject({ name: 'TimeoutError' });
    await vi.waitFor(() => expect(requests.at(-1)).toBe('DELETE 200'));
    await vi.waitFor(() => expect(server.models[1].gate.busy).toBe(0));
  });

  it('tells why a clip failed', async () => {
    const hurried = await tinyServer({ limits: { deadline: 0.02 } });
    const { video } = createAcdit({ fetch: async (url, init) => hurried.app.request(String(url), init) });
    const call = { model: video('clips'), prompt: '1', providerOptions: { acdit: { steps: 50 } } };
    await expect(generateVideo(call)).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const { operation } = await call.model.doStart(startOptions(call));
    await vi.waitFor(async () =>
      expect(await call.model.doStatus({ operation })).toMatchObject({
        status: 'error',
        error: expect.stringContaining('0.02 s'),
      }),
    );
  });
});
