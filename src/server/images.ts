/** @file `POST /v1/images/generations`, in OpenAI's shape. */

import type { Context, Hono } from 'hono';
import { at } from '../at.ts';
import { ApiError } from '../errors.ts';
import { finalLatents } from '../sampling/sampler.ts';
import { createSketch, placeBlock, previewSteps, withBlock } from '../sampling/sketch.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { addressOf } from './addresses.ts';
import {
  type ImageEvent,
  type ImageFormat,
  type ImageRequest,
  type ImagesAnswer,
  imageRequestSchema,
  PATHS,
} from './api.ts';
import { readBody } from './body.ts';
import type { ServerContext } from './context.ts';
import { clientSignal, eventStream } from './events.ts';
import { type GenerationEvent, generate, type Job } from './generation.ts';
import { findModel, sizeName } from './models.ts';
import { encodePictures } from './pictures.ts';
import { planRequest } from './sampling-request.ts';
import { now } from './time.ts';

/** A request for images, ready to be sampled. */
interface ImageJob extends Job {
  readonly body: ImageRequest;
}

export function imageRoutes(app: Hono, context: ServerContext): void {
  const { models, limits } = context;
  app.post(PATHS.images, async (c) => {
    const body = await readBody(c, imageRequestSchema, { limit: limits.body });
    const model = findModel(models, body.model, 'image');
    const prompts = Array.from({ length: body.n }, () => body.prompt);
    const job = { model, body, request: planRequest(model.config, prompts, body, limits, model.tuned) };
    if (!body.stream) return c.json(await makeImages(c, job, context));
    return eventStream(c, context, (client) => streamImages(job, generate(context, job, client), client));
  });
}

/** Images that were requested as URLs. A client that knows the name needs no key. */
export function fileRoutes(app: Hono, { store: { files } }: ServerContext): void {
  app.get(`${PATHS.files}/:name`, async (c) => {
    const file = await files.get(c.req.param('name'));
    if (!file) throw new ApiError(404, 'file_not_found', 'there is no such file; it may have expired');
    return new Response(new Uint8Array(file.bytes), {
      headers: { 'content-type': file.type, 'x-content-type-options': 'nosniff' },
    });
  });
}

/** The whole answer, when all images are finished. */
async function makeImages(c: Context, job: ImageJob, context: ServerContext): Promise<ImagesAnswer> {
  const { model, body, request } = job;
  const client = clientSignal(c);
  const latents = await finalLatents(generate(context, job, client));
  const images = await encodeImages(job, latents, client);
  const data = images.map(async (image) =>
    body.response_format === 'url'
      ? { url: await storeImage(c, context, image, body.output_format) }
      : { b64_json: image },
  );
  return {
    created: now(),
    data: await Promise.all(data),
    model: model.id,
    seed: request.seed,
    size: sizeName(model.config),
    output_format: body.output_format,
    notes: [...request.notes],
  };
}

/** Decodes tokens (N, T, B, C) to images, as files in base64. */
async function encodeImages(
  { model, body }: ImageJob,
  tokens: Tensor<'float32'>,
  signal: AbortSignal,
): Promise<string[]> {
  const { images } = await encodePictures(model, tokens, { format: body.output_format, signal });
  return images.map((frames) => at(frames, 0));
}

/** Stores an image for any client that knows its URL. */
async function storeImage(
  c: Context,
  { store: { files }, publicUrl }: ServerContext,
  image: string,
  format: ImageFormat,
): Promise<string> {
  const name = await files.add({ bytes: Buffer.from(image, 'base64'), type: `image/${format}` });
  return addressOf(c, publicUrl, `${PATHS.files}/${name}`);
}

async function* streamImages(
  job: ImageJob,
  events: AsyncIterable<GenerationEvent>,
  client: AbortSignal,
): AsyncGenerator<ImageEvent, void, void> {
  const { model, body, request } = job;
  const sketch = createSketch(model.config, body.n);
  const partials = previewSteps(request.totalSteps, body.partial_images);
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'block') placeBlock(sketch, event.block, event.latents);
    if (event.kind === 'step') {
      if (event.together) placeBlock(sketch, event.block, event.clean);
      const partial_image_index = partials.indexOf(++done);
      if (partial_image_index < 0) continue;
      for (const image of await imageFields(job, withBlock(sketch, event.block, event.clean), client)) {
        yield { type: 'image_generation.partial_image', ...image, partial_image_index };
      }
    }
    if (event.kind !== 'done') continue;
    const made = { model: model.id, seed: request.seed, notes: [...request.notes] };
    for (const image of await imageFields(job, event.latents, client)) {
      yield { type: 'image_generation.completed', ...image, ...made };
    }
  }
}

/** Returns what events of both kinds hold of each image. */
async function imageFields(job: ImageJob, tokens: Tensor<'float32'>, client: AbortSignal) {
  const { model, body } = job;
  const images = await encodeImages(job, tokens, client);
  return images.map((b64_json, index) => ({
    b64_json,
    created_at: now(),
    size: sizeName(model.config),
    output_format: body.output_format,
    index,
  }));
}
