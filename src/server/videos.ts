/**
 * @file `/v1/videos`, in OpenAI's shape: a clip is asked for, made in the background, and fetched when it is finished.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Context, Hono } from 'hono';
import { at } from '../at.ts';
import { ApiError } from '../errors.ts';
import { enlarge, framesOf, legibleScale } from '../media/pixels.ts';
import { mp4Encoder } from '../media/video-mp4.ts';
import { frameCount } from '../models/acdit/config.ts';
import { type DecodeFrames, streamFrames } from '../sampling/frames.ts';
import { passesOfSample, untrainedNote } from '../sampling/request.ts';
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
import { findModel, type ServedModel, sizeName } from './models.ts';
import { toApiError } from './problems.ts';
import type { RequestNames } from './request-names.ts';
import { planRequest } from './sampling-request.ts';
import { whenAborted } from './time.ts';
import type { SharedJobs, VideoClaim, VideoJobs } from './video-jobs.ts';

/** A video that this server makes. */
interface VideoWork extends Job {
  readonly claim: VideoClaim;
  readonly events: AsyncIterable<SampleEvent>;
  readonly fps: number;
  /** The request that asked for it, if that was sent to this server. */
  readonly names?: RequestNames;
  /** Aborted when the video is deleted, or another server makes it. */
  readonly signal: AbortSignal;
}

interface GeneratedEvents {
  readonly events: AsyncIterable<GenerationEvent>;
}

export function videoRoutes(app: Hono, context: ServerContext): void {
  const { videos } = context.store;
  app.post(PATHS.videos, async (c) => {
    const body = await readBody(c, videoRequestSchema, { limit: context.limits.body, forms: true });
    return c.json(await startVideo(context, body, c.get('names')));
  });
  app.get(PATHS.videos, async (c) => c.json(await listVideos(c, videos)));
  app.get(`${PATHS.videos}/:id`, async (c) => c.json(await videos.get(c.req.param('id'))));
  app.get(`${PATHS.videos}/:id/content`, async (c) => content(c, videos, c.req.param('id')));
  app.delete(`${PATHS.videos}/:id`, async (c) => {
    const id = c.req.param('id');
    await videos.remove(id);
    return c.json({ id, object: 'video.deleted', deleted: true });
  });
}

async function startVideo(context: ServerContext, body: VideoRequest, names: RequestNames): Promise<Video> {
  const { models, store } = context;
  const job = planVideo(context, findModel(models, body.model, 'video'), body);
  const { model, request } = job;
  const work = new AbortController();
  const events = generate(context, job, work.signal);
  try {
    const asked = {
      model: model.id,
      prompt: String(body.prompt),
      seconds: String(frameCount(model.config, request.blocks) / body.fps),
      blocks: request.blocks,
      size: sizeName(model.config),
      seed: request.seed,
      untrained: untrainedNote(model.config, request) ?? null,
      notes: [...request.notes],
    };
    const claim = await store.videos.add(asked, { ...body, seed: request.seed }, work);
    beginVideo(context, { ...job, claim, events, fps: body.fps, signal: work.signal, names });
    return claim.video;
  } catch (refusal) {
    work.abort(refusal); // so that it leaves the queue
    throw refusal;
  }
}

/** @throws {ApiError} if the request does not fit the model or this server's limits */
function planVideo({ limits }: ServerContext, model: ServedModel, body: VideoRequest): Job {
  return { model, request: planRequest(model.config, [body.prompt], body, limits, model.tuned) };
}

/**
 * Makes videos whose servers have ended, where servers share a store.
 * @param signal stops taking more
 */
export async function takeOverVideos(context: ServerContext, signal: AbortSignal): Promise<void> {
  const { shared } = context.store.videos;
  while (shared && !signal.aborted) {
    // Errors of the store end the attempt only: its connection logs them.
    const found = await takeOverVideo(context, shared).catch(() => false);
    if (!found) await sleep(shared.interval, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** @returns whether there was one */
async function takeOverVideo(context: ServerContext, shared: SharedJobs): Promise<boolean> {
  const { models, log } = context;
  const work = new AbortController();
  const free = models.filter(({ gate }) => gate.hasRoom).map(({ id }) => id);
  const taken = await shared.takeOver(free, work);
  if (!taken) return false;
  const { claim, request: body } = taken;
  try {
    const job = planVideo(context, findModel(models, claim.video.model, 'video'), body);
    const events = generate(context, job, work.signal);
    beginVideo(context, { ...job, claim, events, fps: body.fps, signal: work.signal });
    context.metrics.tookOver();
  } catch (cause) {
    const error = toApiError(cause);
    if (error.status === 429) await claim.release?.();
    else await claim.fail({ code: error.code, message: error.message });
    if (error.status === 500) log(error);
    work.abort(error);
  }
  return true;
}

/** Makes the video in the background. */
function beginVideo(context: ServerContext, work: Omit<VideoWork, 'events'> & GeneratedEvents): void {
  const events = followed(work.events, passesOfSample(work.request), work.claim);
  context.background.add(makeVideo(context, { ...work, events }));
}

/**
 * Makes the video, decoding one block while the next is sampled, and keeps it or its error. While the server stops, a
 * finished video waits for its client, unless another server keeps it; one that is not finished in time is given back.
 */
async function makeVideo({ log, stopping, closing }: ServerContext, work: VideoWork): Promise<void> {
  const { claim, signal } = work;
  try {
    await claim.complete(await encodeVideo(work));
  } catch (cause) {
    if (closing.aborted && claim.release) return claim.release();
    const error = toApiError(cause);
    if (!signal.aborted) log(error, work.names);
    await claim.fail({ code: error.code, message: error.message });
    return;
  }
  if (stopping.aborted) await Promise.race([claim.settled(), whenAborted(closing)]);
}

/** Returns the MP4. */
async function encodeVideo({
  model: { config, decoder },
  events,
  fps,
  signal,
}: VideoWork): Promise<Uint8Array> {
  const encoder = mp4Encoder(fps);
  const decode: DecodeFrames = (tokens) => decoder.decode(tokens, { signal });
  for await (const event of streamFrames(config, events, decode)) {
    if (event.kind === 'frames')
      await encoder.add(at(framesOf(event.frames), 0).map((frame) => enlarge(frame, legibleScale(frame))));
  }
  return Buffer.concat(await encoder.file());
}

/** Yields the sampler's events, and reports the progress. */
async function* followed(
  events: AsyncIterable<GenerationEvent>,
  totalPasses: number,
  claim: VideoClaim,
): AsyncGenerator<SampleEvent, void, void> {
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'start') claim.report({ status: 'in_progress', progress: 0 });
    if (event.kind === 'step') {
      done += event.passes;
      claim.report({ status: 'in_progress', progress: Math.floor((99 * done) / totalPasses) });
    }
    if (event.kind !== 'wait' && event.kind !== 'start') yield event;
  }
}

/**
 * Returns the MP4.
 * @throws {ApiError} 400 for variants of OpenAI's API that do not exist here, 409 before it is finished
 */
async function content(c: Context, videos: VideoJobs, id: string): Promise<Response> {
  const { error, status } = await videos.get(id);
  validBody(videoContentQuery, c.req.query());
  const file = await videos.file(id, c.req.method === 'GET');
  if (file) return new Response(new Uint8Array(file), { headers: { 'content-type': 'video/mp4' } });
  const why = error ? `it failed: ${error.message}` : `it is ${status}; ask again later`;
  throw new ApiError(409, 'video_not_ready', `the video has no content: ${why}`);
}

/** The newest first, or with `order=asc` the oldest; after the one that `after` names. */
async function listVideos(c: Context, videos: VideoJobs): Promise<VideoList> {
  const { limit, after, order } = validBody(videoListQuery, c.req.query());
  // An unknown one must not start the list again: a client that pages through it would never end.
  const last = after === undefined ? undefined : (await videos.get(after)).id;
  const all = await videos.all();
  if (order === 'desc') all.reverse();
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
