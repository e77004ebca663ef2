import { generateImage } from 'ai';
import { describe, expect, it } from 'vitest';
import { createAcdit } from '../../src/ai-sdk/index.ts';
import { imagesSchema } from '../../src/server/api.ts';
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
