/**
 * @file `/v1/videos`, in OpenAI's shape: a clip is asked for, made in the background, and fetched when it is finished.
 */

import type { Context, Hono } from 'hono';
import { at } from '../at.ts';
import { ApiError } from '../errors.ts';
import { enlarge, framesOf, type Image } from '../media/pixels.ts';
import { mp4Encoder } from '../media/video-mp4.ts';
import { frameCount } from '../models/acdit/config.ts';
import { type DecodeFrames, streamFrames } from '../sampling/frames.ts';
import { UNTRAINED } from '../sampling/request.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import {
  PATHS,
  type Video,
  type VideoList,
  type VideoRequest,
  videoContentQuery,
  videoListQuery,
  videoRequestSchema,
} from './api.ts';
import { readBody, validBody } from './body.ts';
import type { ServerContext } from './context.ts';
import { type GenerationEvent, generate, type Job } from './generation.ts';
import { findModel, sizeName } from './models.ts';
import { toApiError } from './problems.ts';
import { planRequest } from './sampling-request.ts';
import { now, whenAborted } from './time.ts';
import { type VideoJob, VideoJobs } from './video-jobs.ts';

export function videoRoutes(app: Hono, context: ServerContext): void {
  const jobs = new VideoJobs(context.limits.videos);
  app.post(PATHS.videos, async (c) => {
    const body = await readBody(c, videoRequestSchema, { limit: context.limits.body, forms: true });
    return c.json(startVideo(context, jobs, body));
  });
  app.get(PATHS.videos, (c) => c.json(listVideos(c, jobs)));
  app.get(`${PATHS.videos}/:id`, (c) => c.json(jobs.get(c.req.param('id')).video));
  app.get(`${PATHS.videos}/:id/content`, (c) => content(c, jobs.get(c.req.param('id'))));
  app.delete(`${PATHS.videos}/:id`, (c) => {
    const id = c.req.param('id');
    jobs.remove(id);
    return c.json({ id, object: 'video.deleted', deleted: true });
  });
}

function startVideo(context: ServerContext, jobs: VideoJobs, body: VideoRequest): Video {
  const { models, limits } = context;
  const model = findModel(models, body.model, 'video');
  const { config } = model;
  const request = planRequest(config, [body.prompt], body, limits);
  const work = new AbortController();
  const events = generate(context, { model, request }, work.signal);
  try {
    const asked = {
      model: model.id,
      prompt: String(body.prompt),
      seconds: String(frameCount(config, request.blocks) / body.fps),
      blocks: request.blocks,
      size: sizeName(config),
      seed: request.seed,
      untrained: request.slides ? UNTRAINED : null,
      notes: [...request.notes],
    };
    const job = jobs.add(asked, work);
    context.background.add(makeVideo(context, { model, request, fps: body.fps, events, job }));
    return job.video;
  } catch (refusal) {
    work.abort(refusal); // so that it leaves the queue
    throw refusal;
  }
}

/** A video to be made. */
interface VideoTask extends Job {
  readonly fps: number;
  readonly events: AsyncIterable<GenerationEvent>;
  readonly job: VideoJob;
}

/**
 * Makes the video, decoding one block while the next is sampled, and keeps it or its error. A video that is finished
 * while the server stops waits for its client.
 */
async function makeVideo(
  { log, stopping, closing }: ServerContext,
  { model, request, fps, events, job }: VideoTask,
): Promise<void> {
  const { video, work, settled } = job;
  try {
    const encoder = mp4Encoder(fps);
    const reported = followed(events, request.totalSteps, video);
    const decode: DecodeFrames = (tokens) => model.decoder.decode(tokens, { signal: work.signal });
    for await (const event of streamFrames(model.config, reported, decode)) {
      if (event.kind === 'frames') await encoder.add(at(framesOf(event.frames), 0).map(legible));
    }
    job.file = Buffer.concat(await encoder.file());
    Object.assign(video, { status: 'completed', progress: 100, completed_at: now() });
  } catch (cause) {
    const error = toApiError(cause);
    if (!work.signal.aborted) log(error);
    Object.assign(video, { status: 'failed', error: { code: error.code, message: error.message } });
    return;
  }
  if (stopping.aborted) await Promise.race([whenAborted(settled.signal), whenAborted(closing)]);
}

/** Frames that are smaller are enlarged to about this height: H.264 keeps half of the colour per side. */
const LEGIBLE_HEIGHT = 256;

function legible(image: Image): Image {
  return enlarge(image, Math.max(1, Math.round(LEGIBLE_HEIGHT / image.height)));
}

/** Yields the sampler's events, and records the progress in the video. */
async function* followed(
  events: AsyncIterable<GenerationEvent>,
  totalSteps: number,
  video: Video,
): AsyncGenerator<SampleEvent, void, void> {
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'start') video.status = 'in_progress';
    if (event.kind === 'step') video.progress = Math.floor((99 * ++done) / totalSteps);
    if (event.kind !== 'wait' && event.kind !== 'start') yield event;
  }
}

/**
 * Returns the MP4.
 * @throws {ApiError} 400 for variants of OpenAI's API that do not exist here, 409 before it is finished
 */
function content(c: Context, job: VideoJob): Response {
  const { video, file, settled } = job;
  validBody(videoContentQuery, c.req.query());
  if (file) {
    if (c.req.method === 'GET') settled.abort();
    return new Response(new Uint8Array(file), { headers: { 'content-type': 'video/mp4' } });
  }
  const why = video.error ? `it failed: ${video.error.message}` : `it is ${video.status}; ask again later`;
  throw new ApiError(409, 'video_not_ready', `the video has no content: ${why}`);
}

/** The newest first, or with `order=asc` the oldest; after the one that `after` names. */
function listVideos(c: Context, jobs: VideoJobs): VideoList {
  const { limit, after, order } = validBody(videoListQuery, c.req.query());
  // An unknown one must not start the list again: a client that pages through it would never end.
  const last = after === undefined ? undefined : jobs.get(after).video.id;
  const all = order === 'asc' ? jobs.all() : jobs.all().reverse();
  const start = all.findIndex(({ id }) => id === last) + 1;
  const data = all.slice(start, start + limit);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < all.length,
  };
}
