/** @file Clips that are asked for, being made, or kept for whoever asked. */

import { randomUUID } from 'node:crypto';
import { ApiError } from '../errors.ts';
import type { Video } from './api.ts';

export interface VideoJob {
  readonly video: Video;
  /** The MP4, once it is finished. */
  readonly file: Uint8Array | undefined;
  /** Aborted when nobody wants the video any more. */
  readonly signal: AbortSignal;
  update(changes: Partial<Pick<Video, 'status' | 'progress' | 'error'>>): void;
  finish(file: Uint8Array): void;
}

export interface VideoJobs {
  /** @throws {ApiError} 429 if too many are being made */
  add(
    video: Pick<Video, 'model' | 'prompt' | 'seconds' | 'blocks' | 'size' | 'seed' | 'untrained' | 'notes'>,
  ): VideoJob;
  /** @throws {ApiError} 404 */
  get(id: string): VideoJob;
  /** Forget one; if it is being made, its work stops. @throws {ApiError} 404 */
  remove(id: string): void;
  /** The oldest first. */
  all(): VideoJob[];
}

/** Seconds that a video is kept. */
const LIFETIME = 3600;

/** @param capacity videos that are kept or being made; the oldest finished ones make room. */
export function createVideoJobs(capacity: number): VideoJobs {
  const jobs = new Map<string, VideoJob & { abort(): void }>();

  function forget(id: string): void {
    jobs.get(id)?.abort();
    jobs.delete(id);
  }

  function tidy(): void {
    for (const [id, { video }] of jobs) if (video.expires_at <= now() && isOver(video)) forget(id);
  }

  function makeRoom(): void {
    tidy();
    if (jobs.size < capacity) return;
    const oldest = [...jobs.values()].find(({ video }) => isOver(video));
    if (!oldest) {
      throw new ApiError(429, 'queue_full', `${jobs.size} videos are being made already; try again later`, {
        retryAfter: 30,
      });
    }
    forget(oldest.video.id);
  }

  return {
    add(asked) {
      makeRoom();
      const job = createJob(asked);
      jobs.set(job.video.id, job);
      return job;
    },
    get(id) {
      tidy();
      const job = jobs.get(id);
      if (job) return job;
      throw new ApiError(404, 'video_not_found', `there is no video '${id}'; it may have expired`);
    },
    remove(id) {
      forget(this.get(id).video.id);
    },
    all() {
      tidy();
      return [...jobs.values()];
    },
  };
}

function createJob(asked: Parameters<VideoJobs['add']>[0]): VideoJob & { abort(): void } {
  const controller = new AbortController();
  const created_at = now();
  let file: Uint8Array | undefined;
  let video: Video = {
    id: `video_${randomUUID()}`,
    object: 'video',
    status: 'queued',
    progress: 0,
    created_at,
    completed_at: null,
    expires_at: created_at + LIFETIME,
    error: null,
    ...asked,
  };
  return {
    get video() {
      return video;
    },
    get file() {
      return file;
    },
    signal: controller.signal,
    update(changes) {
      video = { ...video, ...changes };
    },
    finish(bytes) {
      file = bytes;
      video = { ...video, status: 'completed', progress: 100, completed_at: now() };
    },
    abort: () => controller.abort(new ApiError(404, 'video_not_found', 'the video was deleted')),
  };
}

function isOver({ status }: Video): boolean {
  return status === 'completed' || status === 'failed';
}

/** Seconds since 1970. */
function now(): number {
  return Math.floor(Date.now() / 1000);
}
