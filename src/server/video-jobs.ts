/** @file Video jobs: queued, being made, or kept for the client that asked. */

import { randomUUID } from 'node:crypto';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { Video } from './api.ts';

export interface VideoJob {
  readonly video: Video;
  /** The MP4, once it is finished. */
  readonly file: Uint8Array | undefined;
  update(changes: Partial<Pick<Video, 'status' | 'progress' | 'error'>>): void;
  finish(file: Uint8Array): void;
  /** Records that the client has the file. */
  fetch(): void;
  /** Resolves once the client has the file, or the job is removed. */
  readonly settled: Promise<void>;
}

export interface VideoJobs {
  /**
   * @param work aborted when the job is removed
   * @throws {ApiError} 429 if too many are being made
   */
  add(
    video: Pick<Video, 'model' | 'prompt' | 'seconds' | 'blocks' | 'size' | 'seed' | 'untrained' | 'notes'>,
    work: AbortController,
  ): VideoJob;
  /** @throws {ApiError} 404 */
  get(id: string): VideoJob;
  /** Deletes one; if it is being made, its work stops. @throws {ApiError} 404 */
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
    add(asked, work) {
      makeRoom();
      const job = createJob(asked, work);
      jobs.set(job.video.id, job);
      return job;
    },
    get(id) {
      tidy();
      const job = jobs.get(id);
      if (job) return job;
      throw new ApiError(404, 'video_not_found', `there is no video '${printable(id)}'; it may have expired`);
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

function createJob(...[asked, work]: Parameters<VideoJobs['add']>): VideoJob & { abort(): void } {
  const created_at = now();
  let file: Uint8Array | undefined;
  let fetch = (): void => {};
  const settled = new Promise<void>((resolve) => {
    fetch = resolve;
  });
  let video: Video = {
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
  return {
    get video() {
      return video;
    },
    get file() {
      return file;
    },
    settled,
    fetch,
    update(changes) {
      video = { ...video, ...changes };
    },
    finish(bytes) {
      file = bytes;
      video = { ...video, status: 'completed', progress: 100, completed_at: now() };
    },
    abort() {
      work.abort(new ApiError(404, 'video_not_found', 'the video was deleted'));
      fetch();
    },
  };
}

function isOver({ status }: Video): boolean {
  return status === 'completed' || status === 'failed';
}

/** Seconds since 1970. */
function now(): number {
  return Math.floor(Date.now() / 1000);
}
