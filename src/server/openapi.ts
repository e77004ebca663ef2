/** @file The OpenAPI document, made from the schemas that requests are checked against. */

import { z } from 'zod';
import {
  errorSchema,
  imageEventSchema,
  imageRequestSchema,
  imagesSchema,
  modelListSchema,
  modelSchema,
  PATHS,
  promptList,
  readinessSchema,
  sampleCount,
  stepCount,
  streamEventSchema,
  streamRequestSchema,
  tensorSchema,
  videoContentQuery,
  videoDeletedSchema,
  videoListQuery,
  videoListSchema,
  videoRequestSchema,
  videoSchema,
} from './api.ts';
import type { ServerLimits } from './context.ts';

interface Operation {
  readonly method: 'get' | 'post' | 'delete';
  /** With `{names}` where something of the client's stands. */
  readonly path: string;
  /** Name of the operation in clients that are generated from the document. */
  readonly id: string;
  readonly summary: string;
  /** Media types of the response, with their contents. */
  readonly answers: Readonly<Record<string, SchemaName | 'binary' | 'text'>>;
  readonly query?: z.ZodObject;
  readonly body?: SchemaName;
  /** The body may be a form too. */
  readonly form?: boolean;
  /** Needs no key. */
  readonly open?: boolean;
}

/** Schemas of answers, by their names in the document. */
const answerSchemas = {
  Error: errorSchema,
  Health: z.object({ status: z.string() }),
  ImageEvent: imageEventSchema,
  Images: imagesSchema,
  Model: modelSchema,
  ModelList: modelListSchema,
  Readiness: readinessSchema,
  StreamEvent: streamEventSchema,
  Video: videoSchema,
  VideoDeleted: videoDeletedSchema,
  VideoList: videoListSchema,
} as const;

/** Schemas of requests, with the limits of a server instead of the API's. */
function requestSchemas({ samples, steps }: Pick<ServerLimits, 'samples' | 'steps'>) {
  const limited = { n: sampleCount(samples), steps: stepCount(steps) };
  return {
    ImageRequest: imageRequestSchema.extend(limited),
    StreamRequest: streamRequestSchema.extend({ ...limited, prompts: promptList(samples) }),
    VideoRequest: videoRequestSchema.extend({ steps: limited.steps }),
  };
}

type SchemaName = keyof typeof answerSchemas | keyof ReturnType<typeof requestSchemas>;

/** @param answers the schema of the JSON that it answers with, or media types and their contents */
function operation(
  method: Operation['method'],
  path: string,
  id: string,
  summary: string,
  answers: SchemaName | Operation['answers'],
  more: Partial<Operation> = {},
): Operation {
  const contents = typeof answers === 'string' ? { 'application/json': answers } : answers;
  return { method, path, id, summary, answers: contents, ...more };
}

export const operations: readonly Operation[] = [
  operation('get', PATHS.models, 'listModels', 'List the models, with their configurations', 'ModelList'),
  operation('get', `${PATHS.models}/{id}`, 'getModel', 'Get one model', 'Model'),
  operation(
    'post',
    PATHS.images,
    'createImages',
    "Make images, as in OpenAI's image API; the prompt is a class",
    { 'application/json': 'Images', 'text/event-stream': 'ImageEvent' },
    { body: 'ImageRequest' },
  ),
  operation(
    'get',
    `${PATHS.files}/{name}`,
    'getFile',
    'Get an image that was requested as a URL',
    { 'image/*': 'binary' },
    { open: true },
  ),
  operation(
    'post',
    PATHS.stream,
    'streamBlocks',
    'Make images or a video, and send blocks and previews as they are made',
    { 'text/event-stream': 'StreamEvent' },
    { body: 'StreamRequest' },
  ),
  operation(
    'post',
    PATHS.videos,
    'createVideo',
    "Start a video, as in OpenAI's video API; the prompt is a class",
    'Video',
    { body: 'VideoRequest', form: true },
  ),
  operation('get', PATHS.videos, 'listVideos', 'List the videos', 'VideoList', { query: videoListQuery }),
  operation('get', `${PATHS.videos}/{id}`, 'getVideo', 'Get the state of a video', 'Video'),
  operation(
    'get',
    `${PATHS.videos}/{id}/content`,
    'downloadVideo',
    'Get a finished video as MP4',
    { 'video/mp4': 'binary' },
    { query: videoContentQuery },
  ),
  operation(
    'delete',
    `${PATHS.videos}/{id}`,
    'deleteVideo',
    'Delete a video; if it is being made, stop',
    'VideoDeleted',
  ),
  operation('get', PATHS.live, 'getLiveness', 'Check whether the process is alive', 'Health', { open: true }),
  operation('get', PATHS.ready, 'getReadiness', 'Check whether the server should get requests', 'Readiness', {
    open: true,
  }),
  operation('get', PATHS.health, 'getHealth', 'Check whether the server accepts requests', 'Health', {
    open: true,
  }),
  operation('get', PATHS.metrics, 'getMetrics', 'Get metrics for Prometheus', { 'text/plain': 'text' }),
  operation(
    'get',
    PATHS.openapi,
    'getOpenApi',
    'Get this document',
    { 'application/json': 'text' },
    { open: true },
  ),
];

/**
 * Returns the document.
 * @param server the base of the paths: a URL, or a path on the document's own host
 */
export function openApiDocument(
  { version, limits }: { readonly version: string; readonly limits: ServerLimits },
  server: string,
): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    const { path, method } = operation;
    paths[path] = { ...paths[path], [method]: describeOperation(operation) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'acdit', version, description: 'Samples of ACDiT models over HTTP.' },
    servers: [{ url: server }],
    paths,
    components: {
      schemas: {
        ...namedSchemas({ ...requestSchemas(limits), Tensor: tensorSchema }, 'input'),
        ...namedSchemas({ ...answerSchemas, Tensor: tensorSchema }, 'output'),
      },
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function describeOperation({ path, id, summary, query, body, form, answers, open }: Operation): object {
  const content = Object.entries(answers).map(([type, name]) => [type, { schema: answerSchema(name) }]);
  const types = form ? ['application/json', 'multipart/form-data'] : ['application/json'];
  const bodyContent = body && Object.fromEntries(types.map((type) => [type, { schema: reference(body) }]));
  return {
    operationId: id,
    summary,
    security: open ? [] : [{ key: [] }, {}],
    parameters: [...pathParameters(path), ...queryParameters(query)],
    ...(bodyContent && { requestBody: { required: true, content: bodyContent } }),
    responses: {
      200: { description: 'Done', content: Object.fromEntries(content) },
      default: {
        description: 'What was wrong',
        content: { 'application/json': { schema: reference('Error') } },
      },
    },
  };
}

function pathParameters(path: string): object[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  return names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
}

function queryParameters(query: z.ZodObject | undefined): object[] {
  if (!query) return [];
  const { properties = {} } = z.toJSONSchema(query, { io: 'input' });
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', schema }));
}

function answerSchema(name: SchemaName | 'binary' | 'text'): object {
  if (name === 'binary') return { type: 'string', format: 'binary' };
  return name === 'text' ? {} : reference(name);
}

function reference(name: SchemaName): object {
  return { $ref: uriOf(name) };
}

function uriOf(name: string): string {
  return `#/components/schemas/${name}`;
}

/** OpenAPI 3.1 takes JSON Schema as it is. */
function namedSchemas(schemas: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output'): object {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const { schemas: described } = z.toJSONSchema(registry, { io, uri: uriOf });
  return Object.fromEntries(
    Object.entries(described).map(([name, { $schema: _, $id: __, ...schema }]) => [name, schema]),
  );
}
