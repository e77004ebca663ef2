/**
 * @file The HTTP API as data: what requests and answers hold, as schemas and as types. It imports nothing of Node, so
 * clients and the browser app use it too, and the OpenAPI document is made from it.
 */

import { z } from 'zod';
import { guidanceSchema } from '../diffusion/guidance-schema.ts';
import { PRESETS } from '../models/acdit/config.ts';
import { classSchema, MAX, optional, perBlock, samplingFields, withDefault } from './sampling-fields.ts';

export { MAX, sampleCount, stepCount } from './sampling-fields.ts';

/** Where things are. */
export const PATHS = {
  models: '/v1/models',
  images: '/v1/images/generations',
  videos: '/v1/videos',
  stream: '/v1/acdit/stream',
  /** What was asked for as a URL. */
  files: '/v1/files',
  live: '/livez',
  ready: '/readyz',
  health: '/healthz',
  metrics: '/metrics',
  openapi: '/openapi.json',
} as const;

const MAX_SECONDS = 1e6;
const SECONDS_TEXT = 'must be a number above 0 in decimal digits, such as "2.5"';
/** Frames per second. With fewer, the times in a clip would overflow its file. */
const FPS = { least: 0.01, most: 60 } as const;

const count = z.int().nonnegative();
const positive = z.int().positive();
const base64 = z.string().describe('bytes as base64');

/** Matches a number above or equal to 0 as decimal digits. */
const DECIMAL = /^\d+(?:\.\d+)?$/;

/** File formats of images in answers. */
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

/** Sizes of images and videos in OpenAI's API. Its clients send them for any model. */
export const OPENAI_SIZES: ReadonlySet<string> = new Set([
  ...['256x256', '512x512', '1024x1024', '1536x1024', '1024x1536', '1792x1024', '1024x1792'],
  ...['720x1280', '1280x720'],
]);

const blockCount = optional(z.int().min(1).max(MAX.blocks));

/** How long clips become. */
const lengthFields = {
  blocks: blockCount.describe("blocks of a clip (default: the model's own); few models are trained for more"),
  window: blockCount.describe('finished blocks that each block attends (default: as many as in training)'),
};

const ignoredText = optional(z.string().max(1000));

/** Fields of OpenAI's API that mean nothing to these models. */
const ignoredFields = {
  user: ignoredText,
  quality: ignoredText,
  style: ignoredText,
  background: ignoredText,
  moderation: ignoredText,
  output_compression: optional(z.int().min(0).max(100)),
};

/** The body of `POST /v1/images/generations`. */
export const imageRequestSchema = z.strictObject({
  prompt: perBlock(classSchema),
  ...samplingFields,
  ...ignoredFields,
  response_format: withDefault(z.enum(['b64_json', 'url']), 'b64_json'),
  output_format: withDefault(z.enum(IMAGE_FORMATS), 'png'),
  stream: withDefault(z.boolean(), false).describe('send server-sent events'),
  partial_images: withDefault(z.int().min(0).max(3), 0).describe('intermediate images, if streaming'),
});
/** A request for images, checked and with its defaults. */
export type ImageRequest = z.infer<typeof imageRequestSchema>;

/** The body of `POST /v1/videos`. */
export const videoRequestSchema = z.strictObject({
  prompt: perBlock(classSchema),
  ...samplingFields,
  ...ignoredFields,
  ...lengthFields,
  n: withDefault(z.literal(1), 1),
  seconds: optional(
    z
      .union([z.number(), z.string().max(100).regex(DECIMAL, SECONDS_TEXT)])
      .refine((seconds) => Number(seconds) > 0 && Number(seconds) <= MAX_SECONDS, {
        error: `must be a number above 0, at most ${MAX_SECONDS}`,
      }),
  ).describe('length, instead of blocks; rounded to whole blocks'),
  fps: withDefault(z.number().min(FPS.least).max(FPS.most), 4).describe('frames per second'),
});
/** A request for a clip, checked and with its defaults. */
export type VideoRequest = z.infer<typeof videoRequestSchema>;

/** Classes of several samples. */
export const promptList = (most: number) =>
  optional(z.array(perBlock(classSchema)).min(1).max(most)).describe(
    'one for each sample, instead of prompt and n',
  );

/** The body of a request for events, block by block. */
export const streamRequestSchema = z.strictObject({
  prompt: optional(perBlock(classSchema)).describe('the class of all samples, or one for each block'),
  prompts: promptList(MAX.samples),
  ...samplingFields,
  ...lengthFields,
  output_format: withDefault(z.enum([...IMAGE_FORMATS, 'none']), 'png').describe(
    'format of images; none to send none',
  ),
  preview_every: withDefault(z.int().min(0).max(MAX.steps), 0).describe(
    'send a preview of the block in progress every N steps; 0 sends none',
  ),
  latents: withDefault(z.boolean(), false).describe('send latents of blocks and previews'),
  given: optional(tensorSchema).describe(
    'finished blocks (N or 1, K, B, C) to continue: the first K of each sample',
  ),
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
    /** How the request is called in the server's log; also in the header `X-Request-Id`. */
    request_id: z.string().optional(),
  }),
});
/** See {@link errorSchema}. */
export type ErrorBody = z.infer<typeof errorSchema>;

/** The answer of `GET /readyz`: 200 if the status is `ready`, else 503. */
export const readinessSchema = z.object({
  /** `restarting`: the sampling process of a model has ended; asking starts it again. */
  status: z.enum(['ready', 'loading', 'restarting', 'draining', 'stopping']),
  /** Whether the shared store can be reached. If it cannot, requests that do not need it are still answered. */
  store: z.enum(['up', 'down']),
});
/** See {@link readinessSchema}. */
export type Readiness = z.infer<typeof readinessSchema>;

/** A model in the list of models. */
export const modelSchema = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: count,
  owned_by: z.string(),
  /** What it makes. */
  kind: z.enum(['image', 'video']),
  /** Size of its images or frames in pixels. */
  width: positive,
  height: positive,
  frames: positive,
  blocks: positive,
  classes: positive,
  class_names: z.array(z.string()).nullable(),
  /** The guidance scale by default. */
  cfg_scale: z.union([z.number(), z.array(z.number())]),
  /** The guidance by default. */
  guidance: guidanceSchema,
  /** The preset by default. */
  preset: z.enum(PRESETS),
  /** Steps that the preset `fast` and the solver `tuned` may be asked for; none if no solver was fitted to the model. */
  tuned_steps: z.array(positive),
  /** Steps per block of the preset `fast`; null if no solver was fitted to the model. */
  fast_steps: positive.nullable(),
  /** The model's configuration, as its config.json holds it. */
  config: z.record(z.string(), z.unknown()),
});
/** See {@link modelSchema}. */
export type ModelEntry = z.infer<typeof modelSchema>;

/** The answer of `GET /v1/models`. */
export const modelListSchema = z.object({ object: z.literal('list'), data: z.array(modelSchema) });
/** See {@link modelListSchema}. */
export type ModelList = z.infer<typeof modelListSchema>;

/** Notes on which class was taken if a prompt could mean two. */
const notes = z.array(z.string());

/** The answer to a request for images. */
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
/** An event of a request for images with `stream`. */
export type ImageEvent = z.infer<typeof imageEventSchema>;

/** Says that the model is not trained for what was asked, and why; null where it is. */
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
  /** Always null: clips are not made from others. */
  remixed_from_video_id: z.null(),
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

const LIMIT = 'must be a whole number from 1 to 100';

/** The query of `GET /v1/videos`. */
export const videoListQuery = z.object({
  limit: z
    .preprocess(
      (limit) => (typeof limit === 'string' && DECIMAL.test(limit) ? Number(limit) : limit),
      z.int(LIMIT).min(1, LIMIT).max(100, LIMIT),
    )
    .default(20),
  after: z.string().optional().describe('the ID of the video before the first of the list'),
  order: z.enum(['asc', 'desc']).default('desc').describe('by time of creation'),
});

/** The query of `GET /v1/videos/{id}/content`; OpenAI's API has more variants. */
export const videoContentQuery = z.object({ variant: z.enum(['video']).default('video') });

/** The answer when a job is deleted. */
export const videoDeletedSchema = z.object({
  id: z.string(),
  object: z.literal('video.deleted'),
  deleted: z.literal(true),
});

/**
 * What an event shows of the samples: images, encoded, as `images[sample][frame]`, and latents, if the client wants them.
 * An image is one frame, number 0, in which missing blocks are grey. Clips have the frames that the event's block lies in.
 */
const shownFields = {
  /** The first of the frames, in the video. */
  first_frame: count.optional(),
  images: z.array(z.array(base64)).optional(),
  /** (N, B, C) of a block, or in the end (N, T, B, C) of all. */
  latents: tensorSchema.optional(),
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
    /** Log signal-to-noise ratios between which steps are guided; null if all are. */
    guidance_interval: z.tuple([z.number(), z.number()]).nullable(),
    /** Passes through the network of each block: two per guided step, one per other, none if it was given. */
    passes: z.array(count),
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
    /** Passes through the network that the step took. */
    passes: positive,
    /** Steps done of all blocks, and of how many. */
    done: positive,
    total: positive,
  }),
  z.object({
    type: z.literal('preview'),
    block: count,
    step: positive,
    /** The block in progress as it is predicted to become. */
    ...shownFields,
  }),
  z.object({
    type: z.literal('block'),
    block: count,
    given: z.boolean(),
    ...shownFields,
  }),
  z.object({
    type: z.literal('done'),
    /** The whole images; absent for clips, whose frames came with their blocks. */
    ...shownFields,
    seed: count,
    seconds: z.number(),
  }),
  z.object({ type: z.literal('error'), ...errorSchema.shape }),
]);
/** An event of a stream, block by block. */
export type StreamEvent = z.infer<typeof streamEventSchema>;
