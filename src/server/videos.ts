/**
 * @file `/v1/videos`, in OpenAI's shape: a clip is asked for, made in the background, and fetched when it is finished.
 */

import { randomUUID } from 'node:crypto';
import type { Context, Hono } from 'hono';
import { at } from '../at.ts';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { enlarge, framesOf, legibleScale } from '../media/pixels.ts';
import { mp4Encoder } from '../media/video-mp4.ts';
import { frameCount } from '../models/acdit/config.ts';
import { type DecodeFrames, streamFrames } from '../sampling/frames.ts';
import { passesOfSample, UNTRAINED } from '../sampling/request.ts';
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
import { type GenerationEvent, generate } from './generation.ts';
import { findModel, type ServedModel, sizeName } from './models.ts';
import { toApiError } from './problems.ts';
import { planRequest } from './sampling-request.ts';
import { now, whenAborted } from './time.ts';

/** A video that was asked for. */
interface VideoJob {
  /** Changes as it is made. */
  readonly video: Video;
  /** The MP4, once it is finished. */
  file?: Uint8Array;
  /** Aborted when the job is removed. */
  readonly work: AbortController;
  /** Aborted once the client has the file, or the job is removed. */
  readonly settled: AbortController;
}

/** Seconds that a video is kept. */
const LIFETIME = 3600;

/** The videos that are being made or kept. */
class VideoJobs {
  /** The oldest first. */
  readonly #jobs = new Map<string, VideoJob>();
  readonly #capacity: number;

  /** @param capacity videos that are kept or being made; the oldest finished ones make room */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * @param work aborted when the job is removed
   * @throws {ApiError} 429 if too many are being made
   */
  add(
    asked: Pick<Video, 'model' | 'prompt' | 'seconds' | 'blocks' | 'size' | 'seed' | 'untrained' | 'notes'>,
    work: AbortController,
  ): VideoJob {
    this.#makeRoom();
    const created_at = now();
    const video: Video = {
      id: `video_${randomUUID()}`,
      object: 'video',
      status: 'queued',
      progress: 0,
      created_at,
      completed_at: null,
      expires_at: created_at + LIFETIME,
      remixed_from_video_id: null,
      error: null,
      ...asked,
    };
    const job = { video, work, settled: new AbortController() };
    this.#jobs.set(video.id, job);
    return job;
  }

  /** @throws {ApiError} 404 */
  get(id: string): VideoJob {
    this.#tidy();
    const job = this.#jobs.get(id);
    if (job) return job;
    throw new ApiError(404, 'video_not_found', `there is no video '${printable(id)}'; it may have expired`);
  }

  /** Deletes one; if it is being made, its work stops. @throws {ApiError} 404 */
  remove(id: string): void {
    this.#forget(this.get(id));
  }

  /** Returns the videos, the oldest first. */
  all(): Video[] {
    this.#tidy();
    return [...this.#jobs.values()].map(({ video }) => video);
  }

  #forget({ video, work, settled }: VideoJob): void {
    work.abort(new ApiError(404, 'video_not_found', 'the video was deleted'));
    settled.abort();
    this.#jobs.delete(video.id);
  }

  #tidy(): void {
    for (const job of this.#jobs.values())
      if (job.video.expires_at <= now() && isOver(job)) this.#forget(job);
  }

  #makeRoom(): void {
    this.#tidy();
    const { size } = this.#jobs;
    if (size < this.#capacity) return;
    const oldest = [...this.#jobs.values()].find(isOver);
    if (!oldest) {
      throw new ApiError(429, 'queue_full', `${size} videos are being made already; try again later`, {
        retryAfter: 30,
      });
    }
    this.#forget(oldest);
  }
}

function isOver({ video: { status } }: VideoJob): boolean {
  return status === 'completed' || status === 'failed';
}

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
  const request = planRequest(config, [body.prompt], body, limits, model.tuned);
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
    const reported = followed(events, passesOfSample(request), job.video);
    context.background.add(makeVideo(context, model, job, reported, body.fps));
    return job.video;
  } catch (refusal) {
    work.abort(refusal); // so that it leaves the queue
    throw refusal;
  }
}

/**
 * Makes the video, decoding one block while the next is sampled, and keeps it or its error. A video that is finished
 * while the server stops waits for its client.
 */
async function makeVideo(
  { log, stopping, closing }: ServerContext,
  { config, decoder }: ServedModel,
  job: VideoJob,
  events: AsyncIterable<SampleEvent>,
  fps: number,
): Promise<void> {
  const { video, work, settled } = job;
  try {
    const encoder = mp4Encoder(fps);
    const decode: DecodeFrames = (tokens) => decoder.decode(tokens, { signal: work.signal });
    for await (const event of streamFrames(config, events, decode)) {
      if (event.kind === 'frames')
        await encoder.add(at(framesOf(event.frames), 0).map((frame) => enlarge(frame, legibleScale(frame))));
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

/** Yields the sampler's events, and records the progress in the video. */
async function* followed(
  events: AsyncIterable<GenerationEvent>,
  totalPasses: number,
  video: Video,
): AsyncGenerator<SampleEvent, void, void> {
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'start') video.status = 'in_progress';
    if (event.kind === 'step') {
      done += event.passes;
      video.progress = Math.floor((99 * done) / totalPasses);
    }
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
