/** @file `/v1/videos`, in OpenAI's shape: a clip is asked for, made in the background, and fetched when it is finished. */

import type { Context, Hono } from 'hono';
import { ApiError } from '../errors.ts';
import { frameCount } from '../models/acdit/config.ts';
import { streamFrames } from '../sampling/frames.ts';
import { UNTRAINED } from '../sampling/request.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import { PATHS, type Video, type VideoList, type VideoRequest, videoRequestSchema } from './api.ts';
import { readBody } from './body.ts';
import { createClip } from './clip-file.ts';
import type { ServerContext } from './context.ts';
import { type GenerationEvent, generate } from './generation.ts';
import { toApiError } from './problems.ts';
import { findModel, type PlannedRequest, planRequest } from './sampling-request.ts';
import { type ServedModel, sizeName } from './served-model.ts';
import { createVideoJobs, type VideoJob, type VideoJobs } from './video-jobs.ts';

const LONGEST_LIST = 100;

export function videoRoutes(app: Hono, context: ServerContext): void {
  const jobs = createVideoJobs(context.limits.videos);
  app.post(PATHS.videos, async (c) => {
    const body = await readBody(c, videoRequestSchema);
    return c.json(startVideo(context, jobs, body));
  });
  app.get(PATHS.videos, (c) => c.json(listVideos(c, jobs)));
  app.get(`${PATHS.videos}/:id`, (c) => c.json(jobs.get(c.req.param('id')).video));
  app.get(`${PATHS.videos}/:id/content`, (c) => content(jobs.get(c.req.param('id'))));
  app.delete(`${PATHS.videos}/:id`, (c) => {
    const id = c.req.param('id');
    jobs.remove(id);
    return c.json({ id, object: 'video.deleted', deleted: true });
  });
}

function startVideo(context: ServerContext, jobs: VideoJobs, body: VideoRequest): Video {
  const { models, limits } = context;
  const model = findModel(models, body.model);
  const { config } = model;
  if (config.frames === 1) {
    throw new ApiError(400, 'wrong_model', `${model.id} makes pictures; use ${PATHS.images}`, {
      param: 'model',
    });
  }
  const request = planRequest(config, [body.prompt], body, limits);
  const job = jobs.add({
    model: model.id,
    prompt: String(body.prompt),
    seconds: String(frameCount(config, request.blocks) / body.fps),
    blocks: request.blocks,
    size: sizeName(config),
    seed: request.seed,
    untrained: request.slides ? UNTRAINED : null,
    notes: [...request.notes],
  });
  void makeVideo(context, model, request, body.fps, job);
  return job.video;
}

/** Make the clip, frames of a block while the next is sampled, and keep it or what went wrong. */
async function makeVideo(
  context: ServerContext,
  model: ServedModel,
  request: PlannedRequest,
  fps: number,
  job: VideoJob,
): Promise<void> {
  try {
    const clip = createClip(fps);
    const events = followed(generate(context, model, request, job.signal), request.totalSteps, job);
    for await (const event of streamFrames(model.config, events, model.decoder.decode)) {
      if (event.kind === 'frames') await clip.add(event.frames);
    }
    job.finish(await clip.file());
  } catch (cause) {
    const error = toApiError(cause);
    if (!job.signal.aborted) context.log(error);
    job.update({ status: 'failed', error: { code: error.code, message: error.message } });
  }
}

/** The sampler's events, while the job tells how far it is. */
async function* followed(
  events: AsyncIterable<GenerationEvent>,
  totalSteps: number,
  job: VideoJob,
): AsyncGenerator<SampleEvent, void, void> {
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'start') job.update({ status: 'in_progress' });
    if (event.kind === 'step') job.update({ progress: Math.floor((99 * ++done) / totalSteps) });
    if (event.kind !== 'wait' && event.kind !== 'start') yield event;
  }
}

function content({ video, file }: VideoJob): Response {
  if (file) return new Response(new Uint8Array(file), { headers: { 'content-type': 'video/mp4' } });
  const why = video.error ? `it failed: ${video.error.message}` : `it is ${video.status}; ask again later`;
  throw new ApiError(409, 'video_not_ready', `the video has no content: ${why}`);
}

/** The newest first, or with `order=asc` the oldest; after the one that `after` names. */
function listVideos(c: Context, jobs: VideoJobs): VideoList {
  const { limit = '20', after, order = 'desc' } = c.req.query();
  const most = Number(limit);
  if (!Number.isInteger(most) || most < 1 || most > LONGEST_LIST) {
    throw new ApiError(400, 'invalid_value', `limit must be 1 to ${LONGEST_LIST}, got '${limit}'`, {
      param: 'limit',
    });
  }
  const oldestFirst = jobs.all().map(({ video }) => video);
  const all = order === 'asc' ? oldestFirst : oldestFirst.reverse();
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  const data = all.slice(start, start + most);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + most < all.length,
  };
}
