/**
 * @file A provider for the AI SDK (`ai`, version 7) that makes images and clips with a server of `acdit serve`.
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

export type { AcditProviderOptions } from './http.ts';
export { type AcditProvider, createAcdit } from './provider.ts';
