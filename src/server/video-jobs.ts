/** @file Video jobs: queued, being made, or kept for the client that asked. */

import { randomUUID } from 'node:crypto';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { Video } from './api.ts';
import { now } from './time.ts';

/** A video that was asked for. */
export interface VideoJob {
  /** Changes as it is made. */
  readonly video: Video;
  /** The MP4, once it is finished. */
  file?: Uint8Array;
  /** Aborted when the job is removed. */
  readonly work: AbortController;
  /** Aborted once the client has the file, or the job is removed. */
  readonly settled: AbortController;
}

/** What a client asks for. */
type AskedVideo = Pick<
  Video,
  'model' | 'prompt' | 'seconds' | 'blocks' | 'size' | 'seed' | 'untrained' | 'notes'
>;

/** Seconds that a video is kept. */
const LIFETIME = 3600;

/** The videos that are being made or kept. */
export class VideoJobs {
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
  add(asked: AskedVideo, work: AbortController): VideoJob {
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
