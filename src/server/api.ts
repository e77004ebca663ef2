/**
 * @file The HTTP API as data: what requests and answers hold, as schemas and as types. It imports nothing of Node, so
 * clients and the browser app use it too, and the OpenAPI document is made from it.
 */

import { z } from 'zod';
import { solverNames } from '../diffusion/solvers/index.ts';

/** Where things are. */
export const PATHS = {
  models: '/v1/models',
  images: '/v1/images/generations',
  videos: '/v1/videos',
  stream: '/v1/acdit/stream',
  /** What was asked for as a URL. */
  files: '/v1/files',
  health: '/healthz',
  metrics: '/metrics',
  openapi: '/openapi.json',
} as const;

/** The most that the schemas take; a server's own limits are lower. */
const MOST_SAMPLES = 64;
const MOST_STEPS = 1000;
const MOST_BLOCKS = 2 ** 16;
const MOST_SECONDS = 1e6;

const perBlock = <T extends z.ZodType>(value: T) => z.union([value, z.array(value).min(1).max(MOST_BLOCKS)]);

const count = z.int().nonnegative();
const positive = z.int().positive();
const base64 = z.string().describe('bytes as base64');

/** File formats of pictures in answers. */
export const IMAGE_FORMATS = ['png', 'webp', 'jpeg'] as const;
/** One of {@link IMAGE_FORMATS}. */
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** A host tensor of 32-bit floats. */
export const tensorSchema = z.strictObject({
  shape: z.array(positive).min(1).max(8),
  data: base64.describe('32-bit floats, little endian, as base64'),
});
/** A tensor as JSON holds it. */
export type EncodedTensor = z.infer<typeof tensorSchema>;

/** A class by its name or number; `none` is no class. */
const classSchema = z
  .union([z.string().min(1).max(1000), z.int()])
  .describe(
    'a class of the model: a text is its exact name, else a name spelled otherwise that only one class has, else its ' +
      'number; a number is always its number; "none" is no class',
  );

/** How sampling is done; each has a default. */
const samplingFields = {
  model: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('of those listed at /v1/models; the first by default'),
  n: z.int().min(1).max(MOST_SAMPLES).default(1).describe('samples'),
  seed: z.int().min(0).optional().describe('the same seed gives the same samples; random by default'),
  steps: perBlock(z.int().min(1).max(MOST_STEPS)).optional().describe('solver steps a block; 25 by default'),
  cfg_scale: perBlock(z.number().min(0).max(100))
    .optional()
    .describe("guidance scale; the model's own by default"),
  solver: z.enum(solverNames).optional(),
  size: z
    .string()
    .regex(/^(auto|\d{1,5}x\d{1,5})$/, 'must be auto or WIDTHxHEIGHT')
    .optional()
    .describe("the model's own size, or auto"),
};

const blockCount = z.int().min(1).max(MOST_BLOCKS).optional();

/** How long clips become. */
const lengthFields = {
  blocks: blockCount.describe("blocks of a clip, the model's own by default; no model is trained for more"),
  window: blockCount.describe('finished blocks that each block attends; as many as in training by default'),
};

/** What OpenAI's clients may send too. It says nothing to these models. */
const ignoredFields = {
  user: z.string().max(1000).optional(),
  quality: z.string().max(100).optional(),
  style: z.string().max(100).optional(),
  background: z.string().max(100).optional(),
  moderation: z.string().max(100).optional(),
  output_compression: z.int().min(0).max(100).optional(),
};

/** The body of `POST /v1/images/generations`. */
export const imageRequestSchema = z.strictObject({
  prompt: perBlock(classSchema),
  ...samplingFields,
  ...ignoredFields,
  response_format: z.enum(['b64_json', 'url']).default('b64_json'),
  output_format: z.enum(IMAGE_FORMATS).default('png'),
  stream: z.boolean().default(false).describe('send server-sent events'),
  partial_images: z.int().min(0).max(3).default(0).describe('pictures on the way, if streaming'),
});
/** A request for pictures, checked and with its defaults. */
export type ImageRequest = z.infer<typeof imageRequestSchema>;

/** The body of `POST /v1/videos`. */
export const videoRequestSchema = z.strictObject({
  prompt: perBlock(classSchema),
  ...samplingFields,
  ...ignoredFields,
  ...lengthFields,
  n: z.literal(1).default(1),
  seconds: z
    .union([z.number(), z.string().max(100)])
    .refine((seconds) => Number(seconds) > 0 && Number(seconds) <= MOST_SECONDS, {
      error: `must be a number above 0, at most ${MOST_SECONDS}`,
    })
    .optional()
    .describe('instead of blocks: the whole blocks that come nearest'),
  fps: z.number().positive().max(60).default(4).describe('frames a second'),
});
/** A request for a clip, checked and with its defaults. */
export type VideoRequest = z.infer<typeof videoRequestSchema>;

/** The body of a request for events, block by block. */
export const streamRequestSchema = z.strictObject({
  prompt: perBlock(classSchema).optional().describe('the class of all samples, or one for each block'),
  prompts: z
    .array(perBlock(classSchema))
    .min(1)
    .max(MOST_SAMPLES)
    .optional()
    .describe('one for each sample, instead of prompt and n'),
  ...samplingFields,
  ...lengthFields,
  output_format: z
    .enum([...IMAGE_FORMATS, 'none'])
    .default('png')
    .describe('of pictures; none sends none'),
  preview_every: z
    .int()
    .min(0)
    .max(MOST_STEPS)
    .default(0)
    .describe('send a preview of the block in progress every so many steps; 0 sends none'),
  latents: z.boolean().default(false).describe('send latents of blocks and previews'),
  given: tensorSchema
    .optional()
    .describe('finished blocks (N or 1, K, B, C) to go on from: the first K of each sample'),
});
/** A request for events, checked and with its defaults. */
export type StreamRequest = z.infer<typeof streamRequestSchema>;

/** The body of every error, in OpenAI's shape. */
export const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});
/** See {@link errorSchema}. */
export type ErrorBody = z.infer<typeof errorSchema>;

/** A model in the list of models. */
export const modelSchema = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: count,
  owned_by: z.string(),
  /** What it makes. */
  kind: z.enum(['image', 'video']),
  /** Of its pictures or frames, in pixels. */
  width: positive,
  height: positive,
  frames: positive,
  blocks: positive,
  classes: positive,
  class_names: z.array(z.string()).nullable(),
  /** The guidance scale by default. */
  cfg_scale: z.number(),
  /** The model's configuration, as its config.json holds it. */
  config: z.record(z.string(), z.unknown()),
});
/** See {@link modelSchema}. */
export type ModelEntry = z.infer<typeof modelSchema>;

/** The answer of `GET /v1/models`. */
export const modelListSchema = z.object({ object: z.literal('list'), data: z.array(modelSchema) });
/** See {@link modelListSchema}. */
export type ModelList = z.infer<typeof modelListSchema>;

/** Say which class was taken, where a prompt could mean two. */
const notes = z.array(z.string());

/** The answer to a request for pictures. */
export const imagesSchema = z.object({
  created: count,
  data: z.array(z.object({ b64_json: base64.optional(), url: z.string().optional() })),
  model: z.string(),
  seed: count,
  size: z.string(),
  output_format: z.enum(IMAGE_FORMATS),
  notes,
});
/** See {@link imagesSchema}. */
export type ImagesAnswer = z.infer<typeof imagesSchema>;

const imageEvent = {
  b64_json: base64,
  created_at: count,
  size: z.string(),
  output_format: z.enum(IMAGE_FORMATS),
  /** Which of the samples. */
  index: count,
};

/** Events of a streamed image, in OpenAI's shape. */
export const imageEventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('image_generation.partial_image'),
    ...imageEvent,
    partial_image_index: count,
  }),
  z.object({
    type: z.literal('image_generation.completed'),
    ...imageEvent,
    model: z.string(),
    seed: count,
    notes,
  }),
  z.object({ type: z.literal('error'), ...errorSchema.shape }),
]);
/** An event of a request for pictures with `stream`. */
export type ImageEvent = z.infer<typeof imageEventSchema>;

/** Says that no model is trained for what was asked, and why; null where it is. */
const untrained = z.string().nullable();

/** A job that makes a clip. */
export const videoSchema = z.object({
  id: z.string(),
  object: z.literal('video'),
  status: z.enum(['queued', 'in_progress', 'completed', 'failed']),
  /** 0 to 100. */
  progress: z.number(),
  created_at: count,
  completed_at: count.nullable(),
  expires_at: count,
  model: z.string(),
  prompt: z.string(),
  seconds: z.string(),
  blocks: positive,
  size: z.string(),
  seed: count,
  untrained,
  notes,
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
/** See {@link videoSchema}. */
export type Video = z.infer<typeof videoSchema>;

/** The answer of `GET /v1/videos`. */
export const videoListSchema = z.object({
  object: z.literal('list'),
  data: z.array(videoSchema),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
/** See {@link videoListSchema}. */
export type VideoList = z.infer<typeof videoListSchema>;

/** The answer when a job is deleted. */
export const videoDeletedSchema = z.object({
  id: z.string(),
  object: z.literal('video.deleted'),
  deleted: z.literal(true),
});

/**
 * Pictures or frames of each sample, encoded: `images[sample][frame]`. A picture is one frame, number 0, in which blocks
 * that are not there yet are grey. Of clips there are the frames that the event's block lies in.
 */
const pictureFields = {
  /** The first of the frames, in the clip. */
  first_frame: count,
  images: z.array(z.array(base64)),
};

/** Events of `/v1/acdit/stream`, each the data of a server-sent event that has its type as the name. */
export const streamEventSchema = z.discriminatedUnion('type', [
  /** The request waits. */
  z.object({ type: z.literal('queued'), ahead: count.describe('requests before this one') }),
  z.object({
    type: z.literal('started'),
    model: z.string(),
    samples: positive,
    blocks: positive,
    /** Blocks that were given. */
    given: count,
    /** Steps of each block. */
    steps: z.array(positive),
    /** Steps of all blocks that are made. */
    total_steps: positive,
    /** `labels[sample][block]` */
    labels: z.array(z.array(count)),
    cfg_scale: z.array(z.number()),
    seed: count,
    size: z.string(),
    frames: positive,
    untrained,
    notes,
    output_format: z.string(),
  }),
  z.object({
    type: z.literal('step'),
    block: count,
    /** Steps done in this block, and of how many. */
    step: positive,
    steps: positive,
    /** Steps done of all blocks, and of how many. */
    done: positive,
    total: positive,
  }),
  z.object({
    type: z.literal('preview'),
    block: count,
    step: positive,
    /** The block in progress as it is predicted to become. */
    ...z.object(pictureFields).partial().shape,
    /** (N, B, C) of the block as predicted. */
    latents: tensorSchema.optional(),
  }),
  z.object({
    type: z.literal('block'),
    block: count,
    given: z.boolean(),
    ...z.object(pictureFields).partial().shape,
    /** (N, B, C) */
    latents: tensorSchema.optional(),
  }),
  z.object({
    type: z.literal('done'),
    /** Of pictures: the whole pictures. The frames of clips came with their blocks. */
    ...z.object(pictureFields).partial().shape,
    /** (N, T, B, C) */
    latents: tensorSchema.optional(),
    seed: count,
    seconds: z.number(),
  }),
  z.object({ type: z.literal('error'), ...errorSchema.shape }),
]);
/** An event of a stream, block by block. */
export type StreamEvent = z.infer<typeof streamEventSchema>;
