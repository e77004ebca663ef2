/** @file Bodies of requests: JSON or forms that fit a schema, or an error that says what does not. */

import type { Context } from 'hono';
import type { z } from 'zod';
import { at } from '../at.ts';
import { ApiError } from '../errors.ts';
import { withoutByteOrderMark } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { didYouMean } from '../nearest.ts';
import { clientGone, invalid } from './problems.ts';

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'multipart/form-data';

/**
 * Returns the body as `schema` defines it.
 * @param limit max bytes, apart from given blocks; with them, it may have `givenLimit`
 * @param forms whether `multipart/form-data` is accepted as well as JSON
 * @throws {ApiError} 415 if it is of another type or compressed, 413 if it is larger than the limit, 400 if it is not
 * valid or does not fit; it describes the first problem
 */
export async function readBody<S extends z.ZodObject>(
  c: Context,
  schema: S,
  { limit, givenLimit = limit, forms = false }: { limit: number; givenLimit?: number; forms?: boolean },
): Promise<z.output<S>> {
  const type = bodyType(c);
  if (type !== JSON_TYPE && !(forms && type === FORM_TYPE)) {
    // A page of another origin can send a simple type such as text/plain without asking first, but not this one.
    throw new ApiError(
      415,
      'unsupported_media_type',
      `send JSON, with content-type ${JSON_TYPE}${forms ? `, or ${FORM_TYPE}` : ''}; got '${printable(type)}'`,
    );
  }
  requirePlain(c);
  const bytes = await readBytes(c, Math.max(limit, givenLimit));
  if (bytes.length > limit && valueCount(bytes) > limit) throw tooLarge(limit);
  const body = type === JSON_TYPE ? parseJson(bytes) : await formFields(c, bytes, schema);
  // Only the bytes of given blocks are cheap to check: anything else could be a million fields or values.
  if (bytes.length - givenBytes(body) > limit) throw tooLarge(limit);
  return validBody(schema, body);
}

/**
 * Returns how many values and keys JSON may hold: the bytes that begin or separate them, which base64 does not contain.
 */
function valueCount(bytes: Buffer): number {
  let count = 0;
  for (const byte of bytes) if (VALUE_MARKS.has(byte)) count++;
  return count;
}

const VALUE_MARKS: ReadonlySet<number> = new Set(Buffer.from('[{,:'));

/** Returns how long the data of given blocks is in the body. */
function givenBytes(body: unknown): number {
  const data = (body as { given?: { data?: unknown } | null } | null)?.given?.data;
  return typeof data === 'string' ? data.length : 0;
}

function tooLarge(limit: number): ApiError {
  const message = `the body is larger than the limit of ${limit} bytes`;
  return new ApiError(413, 'body_too_large', message);
}

/** Returns the media type without its parameters. */
function bodyType(c: Context): string {
  const [type = ''] = (c.req.header('content-type') ?? '').split(';', 1);
  return type.trim().toLowerCase();
}

function requirePlain(c: Context): void {
  const encoding = (c.req.header('content-encoding') ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity' || encoding === '') return;
  throw new ApiError(
    415,
    'unsupported_content_encoding',
    `send the body uncompressed, without content-encoding; got '${printable(encoding)}'`,
  );
}

/** Max pieces of a body: a fixed number, plus one per `bytesEach` bytes. Even a small piece costs time. */
const PIECES = { few: 1000, bytesEach: 64 } as const;

/** Reads at most `limit` bytes. */
async function readBytes(c: Context, limit: number): Promise<Buffer> {
  if (Number(c.req.header('content-length') ?? 0) > limit) throw tooLarge(limit);
  let bytes = Buffer.alloc(0);
  let size = 0;
  let pieces = 0;
  for await (const chunk of bodyChunks(c)) {
    const end = size + chunk.length;
    if (end > limit) throw tooLarge(limit);
    if (++pieces > PIECES.few + end / PIECES.bytesEach) {
      throw new ApiError(
        413,
        'body_in_pieces',
        'the body arrives in too many small pieces; send larger ones',
      );
    }
    if (end > bytes.length) bytes = Buffer.concat([bytes], Math.max(end, 2 * bytes.length));
    bytes.set(chunk, size);
    size = end;
  }
  return bytes.subarray(0, size);
}

/** Yields the body as it arrives. @throws {ApiError} 499 if the client aborts it */
async function* bodyChunks(c: Context): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* c.req.raw.body ?? [];
  } catch {
    throw clientGone();
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(withoutByteOrderMark(bytes.toString()));
  } catch (cause) {
    throw new ApiError(400, 'invalid_json', `the body is not JSON: ${printable((cause as Error).message)}`, {
      cause,
    });
  }
}

/**
 * Returns the fields of a form as the same request has them in JSON. Lists are fields called `name[]`. A field that is
 * not a text in the schema is read as a JSON number, `true`, `false` or `null`.
 * @throws {ApiError} 400 if it is not a valid form, or holds a file
 */
async function formFields(c: Context, bytes: Buffer, schema: z.ZodObject): Promise<object> {
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

/** Returns the body as the schema defines it. @throws {ApiError} 400 */
export function validBody<S extends z.ZodObject>(schema: S, body: unknown): z.output<S> {
  const { success, data, error } = schema.safeParse(body);
  if (success) return data;
  throw describeIssue(at(error.issues, 0), Object.keys(schema.shape));
}

function describeIssue(issue: z.core.$ZodIssue, fields: readonly string[], before: string[] = []): ApiError {
  const path = [...before, ...issue.path.map(String)];
  const param = printable(path.join('.'));
  const nearestMeaning = issue.code === 'invalid_union' ? issue.errors[0]?.[0] : undefined;
  if (nearestMeaning) {
    // Report the first alternative: a value for all blocks comes before one per block.
    return describeIssue(nearestMeaning, fields, path);
  }
  if (issue.code === 'unrecognized_keys') {
    const unknown = at(issue.keys, 0);
    const key = printable(unknown);
    const others =
      didYouMean(unknown, fields, (field) => `'${field}'`) || `; the fields are ${fields.join(', ')}`;
    const message = `unknown field '${key}'${path.length === 0 ? others : ` in ${param}`}`;
    return new ApiError(400, 'unknown_parameter', message, { param: key });
  }
  const where = param === '' ? 'the body' : param;
  return new ApiError(400, 'invalid_value', `${where}: ${printable(issue.message, MESSAGE_LENGTH)}`, {
    ...(param !== '' && { param }),
  });
}

/** Max characters of a schema's message: enough for all values of a choice. */
const MESSAGE_LENGTH = 400;
