/** @file Image models of the AI SDK, over the HTTP API. It imports nothing of Node and, of the AI SDK, types only. */

import type { ImageModelV4, ImageModelV4CallOptions, SharedV4Warning } from '@ai-sdk/provider';
import { ApiError, type ApiErrorStatus } from '../errors.ts';
import type { ErrorBody, ImagesAnswer } from '../server/api.ts';

export interface AcditProviderOptions {
  /** Where the server is; `http://127.0.0.1:8000` by default. */
  readonly baseURL?: string;
  /** The server's API key, if it has one. */
  readonly apiKey?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
}

/** Gives image models by the names that the server has for them. */
export interface AcditProvider {
  (modelId: string): ImageModelV4;
  /** The same, by the name that the AI SDK calls. */
  imageModel(modelId: string): ImageModelV4;
}

const DEFAULT_URL = 'http://127.0.0.1:8000';
/** As the server's limit is without being told. */
const IMAGES_PER_CALL = 10;

/**
 * A provider for `generateImage`. The prompt is a class, by name or number. Options of the server's own, such as `steps`,
 * `cfg_scale` and `solver`, go into `providerOptions.acdit`.
 */
export function createAcdit(options: AcditProviderOptions = {}): AcditProvider {
  const imageModel = (modelId: string): ImageModelV4 => ({
    specificationVersion: 'v4',
    provider: 'acdit',
    modelId,
    maxImagesPerCall: IMAGES_PER_CALL,
    supportsFileInputs: false,
    supportsMaskInputs: false,
    async doGenerate(call) {
      const timestamp = new Date();
      const response = await post(options, requestBody(modelId, call), call);
      const answer = (await response.json()) as ImagesAnswer;
      return {
        images: answer.data.map((image) => image.b64_json ?? ''),
        warnings: warningsOf(call),
        response: { timestamp, modelId: answer.model, headers: Object.fromEntries(response.headers) },
        // What makes the same images again.
        providerMetadata: {
          acdit: { images: answer.data.map((_, index) => ({ seed: answer.seed, index })) },
        },
      };
    },
  });
  return Object.assign(imageModel, { imageModel });
}

function requestBody(
  model: string,
  { prompt = '', n, size, seed, providerOptions }: ImageModelV4CallOptions,
): object {
  return {
    ...providerOptions.acdit,
    model,
    prompt,
    n,
    ...(size !== undefined && { size }),
    ...(seed !== undefined && { seed }),
    response_format: 'b64_json',
  };
}

/** What was asked for and these models cannot do. */
function warningsOf({ aspectRatio, files, mask }: ImageModelV4CallOptions): SharedV4Warning[] {
  const asked = { aspectRatio, files: files?.length ? files : undefined, mask };
  return Object.entries(asked).flatMap(([feature, value]) =>
    value === undefined
      ? []
      : [
          {
            type: 'unsupported',
            feature,
            details: 'the model makes pictures of one size from classes alone',
          },
        ],
  );
}

/** @throws {ApiError} as the server says it */
async function post(
  { baseURL = DEFAULT_URL, apiKey, headers, fetch = globalThis.fetch }: AcditProviderOptions,
  body: object,
  call: ImageModelV4CallOptions,
): Promise<Response> {
  const given = Object.entries({ ...headers, ...call.headers }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const response = await fetch(`${baseURL.replace(/\/+$/, '')}/v1/images/generations`, {
    method: 'POST',
    headers: {
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      ...Object.fromEntries(given),
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
    ...(call.abortSignal && { signal: call.abortSignal }),
  });
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text();
  const status = response.status as ApiErrorStatus;
  try {
    const { error } = JSON.parse(text) as ErrorBody;
    return new ApiError(status, error.code ?? 'unknown', error.message, {
      ...(error.param !== null && { param: error.param }),
    });
  } catch {
    return new ApiError(status, 'unknown', `the server answered ${status}: ${text.slice(0, 200)}`);
  }
}
