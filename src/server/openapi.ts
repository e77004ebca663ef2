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
  readonly query?: z.ZodObject;
  readonly body?: SchemaName;
  /** The body may be a form too. */
  readonly form?: boolean;
  /** Media types of the response, with their contents. */
  readonly answers: Readonly<Record<string, SchemaName | 'binary' | 'text'>>;
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

const json = (name: SchemaName): Operation['answers'] => ({ 'application/json': name });

export const operations: readonly Operation[] = [
  {
    method: 'get',
    path: PATHS.models,
    id: 'listModels',
    summary: 'List the models, with their configurations',
    answers: json('ModelList'),
  },
  {
    method: 'get',
    path: `${PATHS.models}/{id}`,
    id: 'getModel',
    summary: 'Get one model',
    answers: json('Model'),
  },
  {
    method: 'post',
    path: PATHS.images,
    id: 'createImages',
    summary: "Make images, as in OpenAI's image API; the prompt is a class",
    body: 'ImageRequest',
    answers: { ...json('Images'), 'text/event-stream': 'ImageEvent' },
  },
  {
    method: 'get',
    path: `${PATHS.files}/{name}`,
    id: 'getFile',
    summary: 'Get an image that was requested as a URL',
    answers: { 'image/*': 'binary' },
    open: true,
  },
  {
    method: 'post',
    path: PATHS.stream,
    id: 'streamBlocks',
    summary: 'Make images or a video, and send blocks and previews as they are made',
    body: 'StreamRequest',
    answers: { 'text/event-stream': 'StreamEvent' },
  },
  {
    method: 'post',
    path: PATHS.videos,
    id: 'createVideo',
    summary: "Start a video, as in OpenAI's video API; the prompt is a class",
    body: 'VideoRequest',
    form: true,
    answers: json('Video'),
  },
  {
    method: 'get',
    path: PATHS.videos,
    id: 'listVideos',
    summary: 'List the videos',
    query: videoListQuery,
    answers: json('VideoList'),
  },
  {
    method: 'get',
    path: `${PATHS.videos}/{id}`,
    id: 'getVideo',
    summary: 'Get the state of a video',
    answers: json('Video'),
  },
  {
    method: 'get',
    path: `${PATHS.videos}/{id}/content`,
    id: 'downloadVideo',
    summary: 'Get a finished video as MP4',
    query: videoContentQuery,
    answers: { 'video/mp4': 'binary' },
  },
  {
    method: 'delete',
    path: `${PATHS.videos}/{id}`,
    id: 'deleteVideo',
    summary: 'Delete a video; if it is being made, stop',
    answers: json('VideoDeleted'),
  },
  {
    method: 'get',
    path: PATHS.health,
    id: 'getHealth',
    summary: 'Check whether the server accepts requests',
    answers: json('Health'),
    open: true,
  },
  {
    method: 'get',
    path: PATHS.metrics,
    id: 'getMetrics',
    summary: 'Get metrics for Prometheus',
    answers: { 'text/plain': 'text' },
  },
  {
    method: 'get',
    path: PATHS.openapi,
    id: 'getOpenApi',
    summary: 'Get this document',
    answers: { 'application/json': 'text' },
    open: true,
  },
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
