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
  streamEventSchema,
  streamRequestSchema,
  videoDeletedSchema,
  videoListSchema,
  videoRequestSchema,
  videoSchema,
} from './api.ts';

interface Operation {
  readonly method: 'get' | 'post' | 'delete';
  /** With `{names}` where something of the client's stands. */
  readonly path: string;
  readonly summary: string;
  readonly body?: z.ZodType;
  /** Answers by their media types. */
  readonly answers: Readonly<Record<string, z.ZodType | 'binary' | 'text'>>;
  /** Needs no key. */
  readonly open?: boolean;
}

const json = (schema: z.ZodType): Operation['answers'] => ({ 'application/json': schema });

export const operations: readonly Operation[] = [
  {
    method: 'get',
    path: PATHS.models,
    summary: 'The models, with their configurations',
    answers: json(modelListSchema),
  },
  { method: 'get', path: `${PATHS.models}/{id}`, summary: 'One model', answers: json(modelSchema) },
  {
    method: 'post',
    path: PATHS.images,
    summary: "Make pictures, as OpenAI's image API; the prompt is a class",
    body: imageRequestSchema,
    answers: { ...json(imagesSchema), 'text/event-stream': imageEventSchema },
  },
  {
    method: 'get',
    path: `${PATHS.files}/{name}`,
    summary: 'A picture that was asked for as a URL',
    answers: { 'image/*': 'binary' },
    open: true,
  },
  {
    method: 'post',
    path: PATHS.stream,
    summary: 'Make pictures or clips, and send blocks and previews as they come',
    body: streamRequestSchema,
    answers: { 'text/event-stream': streamEventSchema },
  },
  {
    method: 'post',
    path: PATHS.videos,
    summary: "Ask for a clip, as OpenAI's video API; the prompt is a class",
    body: videoRequestSchema,
    answers: json(videoSchema),
  },
  { method: 'get', path: PATHS.videos, summary: 'The clips', answers: json(videoListSchema) },
  {
    method: 'get',
    path: `${PATHS.videos}/{id}`,
    summary: 'How far a clip is',
    answers: json(videoSchema),
  },
  {
    method: 'get',
    path: `${PATHS.videos}/{id}/content`,
    summary: 'The clip as MP4',
    answers: { 'video/mp4': 'binary' },
  },
  {
    method: 'delete',
    path: `${PATHS.videos}/{id}`,
    summary: 'Forget a clip; if it is being made, stop',
    answers: json(videoDeletedSchema),
  },
  {
    method: 'get',
    path: PATHS.health,
    summary: 'Whether the server takes requests',
    answers: json(z.object({ status: z.string() })),
    open: true,
  },
  {
    method: 'get',
    path: PATHS.metrics,
    summary: 'Numbers for Prometheus',
    answers: { 'text/plain': 'text' },
  },
  {
    method: 'get',
    path: PATHS.openapi,
    summary: 'This document',
    answers: { 'application/json': 'text' },
    open: true,
  },
];

export function openApiDocument(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    paths[operation.path] ??= {};
    paths[operation.path][operation.method] = describeOperation(operation);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'acdit', version, description: 'Samples of ACDiT models over HTTP.' },
    paths,
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
  };
}

function describeOperation({ path, summary, body, answers, open }: Operation): object {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const content = Object.entries(answers).map(([type, schema]) => [type, { schema: answerSchema(schema) }]);
  return {
    summary,
    security: open ? [] : [{ key: [] }, {}],
    parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(body, 'input') } } },
    }),
    responses: {
      200: { description: 'Done', content: Object.fromEntries(content) },
      default: {
        description: 'What was wrong',
        content: { 'application/json': { schema: jsonSchema(errorSchema, 'output') } },
      },
    },
  };
}

function answerSchema(schema: z.ZodType | 'binary' | 'text'): object {
  if (schema === 'binary') return { type: 'string', format: 'binary' };
  return schema === 'text' ? {} : jsonSchema(schema, 'output');
}

/** OpenAPI 3.1 takes JSON Schema as it is. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
