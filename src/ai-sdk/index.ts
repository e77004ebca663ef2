/**
 * @file A provider for the AI SDK (`ai`, version 6 or 7) that makes images and videos with a server of `acdit serve`, over its
 * HTTP API. It imports nothing of Node and, of the AI SDK, types only.
 *
 * @example
 * ```ts
 * import { generateImage } from 'ai';
 * import { createAcdit } from 'acdit/ai-sdk';
 *
 * const acdit = createAcdit({ baseURL: 'http://127.0.0.1:8000' });
 * const { image } = await generateImage({
 *   model: acdit('fashion-mnist'),
 *   prompt: 'sneaker',
 *   seed: 1,
 *   providerOptions: { acdit: { steps: 25, cfg_scale: 1.5 } },
 * });
 * ```
 */

import type { ImageModelV3 } from '@ai-sdk/provider';
import type { AcditProviderOptions } from './http.ts';
import { createImageModel } from './image-model.ts';
import { type AcditVideoModel, createVideoModel } from './video-model.ts';

export type { AcditProviderOptions } from './http.ts';
export type { AcditVideoModel } from './video-model.ts';

/** Gives models by the names that the server has for them. */
export interface AcditProvider {
  /** A model of images. */
  (modelId: string): ImageModelV3;
  /** The same, by the name that the AI SDK calls. */
  imageModel(modelId: string): ImageModelV3;
  /** A model of videos. */
  video(modelId: string): AcditVideoModel;
  /** The same, by the name that the AI SDK calls. */
  videoModel(modelId: string): AcditVideoModel;
}

/**
 * A provider for `generateImage` and `experimental_generateVideo`. The prompt is a class, by name or number. Options of the
 * server's own, such as `steps`, `cfg_scale` and `solver`, go into `providerOptions.acdit`.
 */
export function createAcdit(options: AcditProviderOptions = {}): AcditProvider {
  const imageModel = (modelId: string): ImageModelV3 => createImageModel(options, modelId);
  const videoModel = (modelId: string): AcditVideoModel => createVideoModel(options, modelId);
  return Object.assign((modelId: string) => imageModel(modelId), {
    imageModel,
    video: videoModel,
    videoModel,
  });
}
