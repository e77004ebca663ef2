/** @file `POST /v1/images/generations`, in OpenAI's shape. */

import type { Context, Hono } from 'hono';
import { at } from '../at.ts';
import { ApiError } from '../errors.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  type ImageEvent,
  type ImageFormat,
  type ImageRequest,
  type ImagesAnswer,
  imageRequestSchema,
  PATHS,
} from './api.ts';
import { readBody } from './body.ts';
import { clientSignal } from './client.ts';
import type { ServerContext } from './context.ts';
import { eventStream } from './events.ts';
import { type GenerationEvent, generate } from './generation.ts';
import { createSketch, encodePictures, picturesAt, wholePictures } from './pictures.ts';
import { addressOf } from './public-url.ts';
import { findModel, type PlannedRequest, planRequest } from './sampling-request.ts';
import { type ServedModel, sizeName } from './served-model.ts';

/** A request for images, ready to be sampled. */
interface ImageJob {
  readonly model: ServedModel;
  readonly body: ImageRequest;
  readonly request: PlannedRequest;
}

export function imageRoutes(app: Hono, context: ServerContext): void {
  app.post(PATHS.images, async (c) => {
    const job = planImages(context, await readBody(c, imageRequestSchema, { limit: context.limits.body }));
    if (!job.body.stream) return c.json(await makeImages(c, job, context));
    const { model, request } = job;
    return eventStream(c, context, (client) =>
      streamImages(job, generate(context, model, request, client), client),
    );
  });
}

/** Pictures that were asked for as URLs. Who knows the name needs no key. */
export function fileRoutes(app: Hono, { files }: ServerContext): void {
  app.get(`${PATHS.files}/:name`, (c) => {
    const file = files.get(c.req.param('name'));
    if (!file) throw new ApiError(404, 'file_not_found', 'there is no such file; it may have expired');
    return new Response(new Uint8Array(file.bytes), {
      headers: { 'content-type': file.type, 'x-content-type-options': 'nosniff' },
    });
  });
}

function planImages({ models, limits }: ServerContext, body: ImageRequest): ImageJob {
  const model = findModel(models, body.model, 'images');
  if (model.config.frames > 1) {
    throw new ApiError(400, 'wrong_model', `${model.id} makes clips; use ${PATHS.videos}`, {
      param: 'model',
    });
  }
  const prompts = Array.from({ length: body.n }, () => body.prompt);
  return { model, body, request: planRequest(model.config, prompts, body, limits) };
}

/** The whole answer, when all images are finished. */
async function makeImages(c: Context, job: ImageJob, context: ServerContext): Promise<ImagesAnswer> {
  const { model, body, request } = job;
  const client = clientSignal(c);
  const latents = await finalLatents(job, client, context);
  const images = await encodePictures(await wholePictures(model, latents, client), body.output_format);
  const data = images.map((frames) => {
    const image = at(frames, 0);
    return body.response_format === 'url'
      ? { url: storeImage(c, context, image, body.output_format) }
      : { b64_json: image };
  });
  return {
    created: now(),
    data,
    model: model.id,
    seed: request.seed,
    size: sizeName(model.config),
    output_format: body.output_format,
    notes: [...request.notes],
  };
}

async function finalLatents(
  { model, request }: ImageJob,
  client: AbortSignal,
  context: ServerContext,
): Promise<Tensor<'float32'>> {
  for await (const event of generate(context, model, request, client)) {
    if (event.kind === 'done') return event.latents;
  }
  throw new ApiError(500, 'server_error', 'sampling ended without a result');
}

/** Stores an image for anyone who knows its URL. */
function storeImage(
  c: Context,
  { files, publicUrl }: ServerContext,
  image: string,
  format: ImageFormat,
): string {
  const name = files.add({ bytes: Buffer.from(image, 'base64'), type: `image/${format}` });
  return addressOf(c, publicUrl, `${PATHS.files}/${name}`);
}

async function* streamImages(
  { model, body, request }: ImageJob,
  events: AsyncIterable<GenerationEvent>,
  client: AbortSignal,
): AsyncGenerator<ImageEvent, void, void> {
  const { output_format, partial_images } = body;
  const sketch = createSketch(model.config, body.n);
  const partials = partialSteps(request.totalSteps, partial_images);
  const common = { size: sizeName(model.config), output_format };
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'block') sketch.place(event.block, event.latents);
    if (event.kind === 'step') {
      const partial_image_index = partials.indexOf(++done);
      if (partial_image_index < 0) continue;
      for (const [index, b64_json] of (await preview(event)).entries()) {
        yield {
          type: 'image_generation.partial_image',
          b64_json,
          created_at: now(),
          ...common,
          index,
          partial_image_index,
        };
      }
    }
    if (event.kind !== 'done') continue;
    const images = await encodePictures(await wholePictures(model, event.latents, client), output_format);
    for (const [index, frames] of images.entries()) {
      yield {
        type: 'image_generation.completed',
        b64_json: at(frames, 0),
        created_at: now(),
        ...common,
        index,
        model: model.id,
        seed: request.seed,
        notes: [...request.notes],
      };
    }
  }

  async function preview({ block, clean }: SampleEvent & { kind: 'step' }): Promise<string[]> {
    const pictures = await picturesAt(model, sketch.with(block, clean), block, client);
    return (await encodePictures(pictures, output_format)).map((frames) => at(frames, 0));
  }
}

/** After which of the steps partial images are sent: at equal distances. */
function partialSteps(total: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.max(1, Math.round((total * (i + 1)) / (count + 1))));
}

/** Seconds since 1970. */
function now(): number {
  return Math.floor(Date.now() / 1000);
}
