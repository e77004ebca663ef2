/** @file Errors as answers, in OpenAI's shape. */

import type { Context } from 'hono';
import { AcditError, ApiError, type ApiErrorStatus, ArgumentError } from '../errors.ts';
import { printable, printableMessage } from '../io/printable.ts';
import type { ErrorBody } from './api.ts';
import type { RequestNames } from './request-names.ts';

/** Returns any error as the client gets it: without details, unless it is an error of the client or meant to be read. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof ArgumentError) {
    return new ApiError(400, 'invalid_value', error.message, { cause: error });
  }
  const message =
    error instanceof AcditError ? error.message : 'the server failed at this request; its log says more';
  return new ApiError(500, 'server_error', message, { cause: error });
}

/** Makes the error for a request whose client closed the connection: it is not sent, and not a fault of the server. */
export function clientGone(): ApiError {
  return new ApiError(499, 'client_gone', 'the client closed the connection');
}

/** Makes the error for a path that does not support the method. */
export function methodNotAllowed(c: Context, allowed: readonly string[]): ApiError {
  const { path, method } = c.req;
  return new ApiError(
    405,
    'method_not_allowed',
    `${printable(path)} takes ${allowed.join(', ')}, not ${printable(method)}`,
    { allowed },
  );
}

/** Refuses a request because of one field. @throws {ApiError} 400 */
export function invalid(param: string, message: string, code = 'invalid_value'): never {
  throw new ApiError(400, code, message, { param });
}

export function errorBody({ status, message, code, param }: ApiError, names?: RequestNames): ErrorBody {
  const body = { message: printableMessage(message), type: errorType(status), param: param ?? null, code };
  return { error: { ...body, ...(names && { request_id: names.request_id }) } };
}

/** The whole answer. */
export function errorResponse(error: ApiError, names?: RequestNames): Response {
  const headers = new Headers({ 'content-type': 'application/json' });
  if (error.retryAfter !== undefined) headers.set('retry-after', String(error.retryAfter));
  if (error.allowed) headers.set('allow', error.allowed.join(', '));
  if (error.status === 401) headers.set('www-authenticate', 'Bearer');
  return new Response(JSON.stringify(errorBody(error, names)), { status: error.status, headers });
}

/** OpenAI's kinds of errors. */
function errorType(status: ApiErrorStatus): string {
  if (status === 401) return 'authentication_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
