/** @file A model of images, for `generateImage`. */

import type { ImageModelV3 } from '@ai-sdk/provider';
import type { ImagesAnswer } from '../server/api.ts';
import { type AcditProviderOptions, defined, send } from './http.ts';
import { noted, otherSize, unsupported } from './warnings.ts';

/**
 * One call makes all images: the SDK would send the same seed with each of several calls, and so get the same images again.
 * The server refuses more than its own limit.
 */
const IMAGES_PER_CALL = Number.MAX_SAFE_INTEGER;

export function createImageModel(options: AcditProviderOptions, modelId: string): ImageModelV3 {
  return {
    specificationVersion: 'v3',
    provider: 'acdit',
    modelId,
    maxImagesPerCall: IMAGES_PER_CALL,
    async doGenerate(call) {
      const timestamp = new Date();
      const { prompt = '', n, size, seed, aspectRatio, files, mask, providerOptions } = call;
      const body = {
        ...providerOptions.acdit,
        model: modelId,
        prompt,
        n,
        ...defined<unknown>({ size, seed }),
        response_format: 'b64_json',
      };
      const response = await send(options, 'POST', '/v1/images/generations', { ...call, body });
      const answer = (await response.json()) as ImagesAnswer;
      return {
        images: answer.data.map((image) => image.b64_json ?? ''),
        warnings: [
          ...unsupported('images', { aspectRatio, files, mask }),
          ...otherSize('size', size, answer.size),
          ...noted(answer.notes),
        ],
        response: { timestamp, modelId: answer.model, headers: Object.fromEntries(response.headers) },
        // What makes the same images again.
        providerMetadata: {
          acdit: { images: answer.data.map((_, index) => ({ seed: answer.seed, index })) },
        },
      };
    },
  };
}
