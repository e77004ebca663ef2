/** @file Bodies of requests: JSON that fits a schema, or an error that says what does not. */

import type { Context } from 'hono';
import type { z } from 'zod';
import { ApiError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';

/**
 * The body as `schema` wants it.
 * @throws {ApiError} 415 if it is not sent as JSON, 400 if it is none, or does not fit; for the first problem
 */
export async function readBody<S extends z.ZodObject>(c: Context, schema: S): Promise<z.output<S>> {
  return validBody(schema, await readJson(c));
}

async function readJson(c: Context): Promise<unknown> {
  // A page of another origin can send a simple type such as text/plain without asking first; not this one.
  const type = (c.req.header('content-type') ?? '').split(';')[0].trim().toLowerCase();
  if (type !== 'application/json') {
    throw new ApiError(
      415,
      'unsupported_media_type',
      `send JSON, with content-type application/json; got '${type}'`,
    );
  }
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ApiError(400, 'invalid_json', `the body is no JSON: ${(cause as Error).message}`, { cause });
  }
}

/** @throws {ApiError} 400 */
export function validBody<S extends z.ZodObject>(schema: S, body: unknown): z.output<S> {
  const { success, data, error } = schema.safeParse(body);
  if (success) return data;
  throw describeIssue(error.issues[0], Object.keys(schema.shape));
}

function describeIssue(issue: z.core.$ZodIssue, fields: readonly string[], before: string[] = []): ApiError {
  const path = [...before, ...issue.path.map(String)];
  const param = path.join('.');
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // What it should be before all else: a value for all blocks comes before one a block.
    const [nearestMeaning] = issue.errors;
    return describeIssue(nearestMeaning[0], fields, path);
  }
  if (issue.code === 'unrecognized_keys' && path.length === 0) {
    const [key] = issue.keys;
    const quoted = (field: string): string => `'${field}'`;
    const message = `unknown field '${key}'${didYouMean(key, fields, quoted) || `; the fields are ${fields.join(', ')}`}`;
    return new ApiError(400, 'unknown_parameter', message, { param: key });
  }
  const where = param === '' ? 'the body' : param;
  return new ApiError(400, 'invalid_value', `${where}: ${issue.message}`, {
    ...(param !== '' && { param }),
  });
}
