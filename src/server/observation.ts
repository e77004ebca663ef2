/** @file Follows each request: its id and trace, its metrics, and its line in the access log. */

import { randomUUID } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { requestPath } from './addresses.ts';
import { PATHS } from './api.ts';
import type { Metrics } from './metrics.ts';
import { toApiError } from './problems.ts';
import type { RequestNames } from './request-names.ts';

/** A line of the access log. */
export interface AccessEntry extends RequestNames {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly status: number;
  /** From the request to the end of the answer, also of a stream. */
  readonly seconds: number;
  /** The code of the error that the answer or stream ended with. */
  readonly error?: string;
}

declare module 'hono' {
  interface ContextVariableMap {
    names: RequestNames;
    /** Resolves when a streamed answer ends, with the code of its error, if there was one. */
    ended: Promise<string | undefined>;
  }
}

const ID_HEADER = 'X-Request-Id';
const ID = /^[\w.:=+/-]{1,128}$/;

/**
 * Names each request, and counts and logs it when its answer ends.
 * @param access told of each answer
 */
export function observe(
  metrics: Metrics,
  access: ((entry: AccessEntry) => void) | undefined,
): MiddlewareHandler {
  return async (c, next) => {
    const started = performance.now();
    const route = routeName(requestPath(c));
    const names = namesOf(c);
    c.set('names', names);
    await next();
    c.header(ID_HEADER, names.request_id);
    const { method, path } = c.req;
    const { status } = c.res;
    const record = (error: string | undefined): void => {
      const seconds = (performance.now() - started) / 1000;
      metrics.answered(route, status, seconds);
      access?.({ ...names, method, path, status, seconds, ...(error !== undefined && { error }) });
    };
    const ended = c.get('ended');
    if (ended) void ended.then(record);
    else record(c.error && toApiError(c.error).code);
  };
}

/** Takes over the id and the trace that a proxy gave the request, if they are well-formed. */
function namesOf(c: Context): RequestNames {
  const given = c.req.header(ID_HEADER);
  const request_id = given !== undefined && ID.test(given) ? given : randomUUID();
  return { request_id, ...parseTraceparent(c.req.header('traceparent')) };
}

/** Reads a header of W3C Trace Context, of this version or a later one; undefined if it is not valid. */
export function parseTraceparent(
  text: string | undefined,
): Required<Omit<RequestNames, 'request_id'>> | undefined {
  const [, version, trace_id, span_id, trace_flags, rest] =
    /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/.exec(text ?? '') ?? [];
  if (trace_id === undefined || span_id === undefined || trace_flags === undefined) return undefined;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(trace_id) || /^0+$/.test(span_id)) return undefined;
  return { trace_id, span_id, trace_flags };
}

/** The path's beginning, so that there are not as many as there are names. */
function routeName(path: string): string {
  return Object.values(PATHS).find((known) => path === known || path.startsWith(`${known}/`)) ?? 'other';
}
