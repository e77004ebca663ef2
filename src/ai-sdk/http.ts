/** @file Requests to the server, and its refusals as errors. */

import { ApiError, type ApiErrorStatus } from '../errors.ts';
import type { ErrorBody } from '../server/api.ts';
import { cleanApiKey } from '../server/key-text.ts';

/** Where the server is, and what is sent to it. */
export interface AcditProviderOptions {
  /** Where the server is; `http://127.0.0.1:8000` by default. */
  readonly baseURL?: string;
  /** The server's API key, if it has one; white space around it is ignored. */
  readonly apiKey?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
}

/** What of a call of the AI SDK every request takes. */
export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  readonly abortSignal?: AbortSignal | undefined;
}

const DEFAULT_URL = 'http://127.0.0.1:8000';

/**
 * Sends a request.
 * @throws {ArgumentError} if the key cannot be sent
 * @throws {ApiError} as the server says it
 */
export async function send(
  { baseURL = DEFAULT_URL, apiKey, headers, fetch = globalThis.fetch }: AcditProviderOptions,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  call: RequestOptions & { readonly body?: object },
): Promise<Response> {
  const response = await fetch(`${baseURL.replace(/\/+$/, '')}${path}`, {
    method,
    headers: {
      ...(apiKey !== undefined && { authorization: `Bearer ${cleanApiKey(apiKey)}` }),
      ...defined({ ...headers, ...call.headers }),
      ...(call.body && { 'content-type': 'application/json' }),
    },
    ...(call.body && { body: JSON.stringify(call.body) }),
    ...(call.abortSignal && { signal: call.abortSignal }),
  });
  if (response.ok) return response;
  throw await refusal(response);
}

/** Returns the fields that have a value: those without must not hide others of the same name. */
export function defined<T>(fields: Readonly<Record<string, T | undefined>>): Record<string, T> {
  const entries = Object.entries(fields).filter((entry): entry is [string, T] => entry[1] !== undefined);
  return Object.fromEntries(entries);
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
