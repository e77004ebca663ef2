/**
 * @file Bodies of `multipart/form-data`, as OpenAI's own client sends some requests: text fields for the fields of a
 * schema.
 */

import type { Context } from 'hono';
import type { z } from 'zod';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { invalid } from './problems.ts';

/**
 * Returns the fields of a form as the same request has them in JSON. Lists are fields called `name[]`. A field that is
 * not a text in the schema is read as a JSON number, `true`, `false` or `null`.
 * @throws {ApiError} 400 if it is not a valid form, or holds a file
 */
export async function formFields(c: Context, bytes: Buffer, schema: z.ZodObject): Promise<object> {
  const form = await parseForm(c, bytes);
  const fields = new Map<string, unknown>();
  for (const key of new Set(form.keys())) {
    const name = key.replace(/\[\]$/, '');
    const values = form.getAll(key).map((value) => fieldValue(schema, name, value));
    fields.set(name, key.endsWith('[]') || values.length > 1 ? values : values[0]);
  }
  return Object.fromEntries(fields);
}

async function parseForm(c: Context, bytes: Buffer): Promise<FormData> {
  try {
    const headers = { 'content-type': c.req.header('content-type') ?? '' };
    return await new Response(new Uint8Array(bytes), { headers }).formData();
  } catch (cause) {
    throw new ApiError(400, 'invalid_form', 'the body is not a valid form of multipart/form-data', { cause });
  }
}

function fieldValue(
  schema: z.ZodObject,
  name: string,
  value: ReturnType<FormData['getAll']>[number],
): unknown {
  const shown = printable(name);
  if (typeof value !== 'string') {
    return invalid(shown, `${shown} is a file, but samples are made from a class alone; leave it out`);
  }
  const field = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined;
  const isText = !field || field.safeParse('text').success;
  return isText || !LITERAL.test(value) ? value : JSON.parse(value);
}

/** Values that JSON writes without quotes or brackets. */
const LITERAL = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null)$/;
