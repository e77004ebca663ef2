/** @file The videos that are being made or kept: what any store of them does, and one in the memory of this process. */

import { randomUUID } from 'node:crypto';
import { ApiError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { Video, VideoRequest } from './api.ts';
import { now } from './time.ts';

/** What is known of a video when it is asked for. */
export type AskedVideo = Pick<
  Video,
  'model' | 'prompt' | 'seconds' | 'blocks' | 'size' | 'seed' | 'untrained' | 'notes'
>;

/** The videos that are being made or kept, here or in a store that several servers share. */
export interface VideoJobs {
  /**
   * Adds a video, which the caller is going to make.
   * @param request what was asked for, with the seed, so that another server can make the same video
   * @param work aborted when the video is deleted, or another server makes it
   * @throws {ApiError} 429 if too many are being made
   */
  add(asked: AskedVideo, request: VideoRequest, work: AbortController): Promise<VideoClaim>;
  /** @throws {ApiError} 404 */
  get(id: string): Promise<Video>;
  /** Returns all videos, the oldest first. */
  all(): Promise<Video[]>;
  /**
   * Returns the MP4, once the video is finished.
   * @param fetched whether a client gets it now, so that nothing waits for that any longer
   */
  file(id: string, fetched: boolean): Promise<Uint8Array | undefined>;
  /** Deletes a video; if it is being made, its work stops. @throws {ApiError} 404 */
  remove(id: string): Promise<void>;
  /** Present if several servers share the jobs. */
  readonly shared?: SharedJobs;
}

/** What servers that share jobs do for each other. */
export interface SharedJobs {
  /** Milliseconds between calls of `takeOver`. */
  readonly interval: number;
  /**
   * Claims a video whose server has been silent for too long, or has given it back.
   * @param models names of the models that this server has room for
   * @param work aborted when the video is deleted, or another server makes it
   */
  takeOver(models: readonly string[], work: AbortController): Promise<TakenOver | undefined>;
}

/** A video that another server began. */
export interface TakenOver {
  readonly claim: VideoClaim;
  readonly request: VideoRequest;
}

/** The right to make a video. Only its holder changes the video. */
export interface VideoClaim {
  /** The video as it was when it was claimed. */
  readonly video: Video;
  /** Records how far it is; the last report counts. */
  report(progress: Pick<Video, 'status' | 'progress'>): void;
  /** Keeps the finished MP4. */
  complete(file: Uint8Array): Promise<void>;
  /** Records why it failed. */
  fail(error: NonNullable<Video['error']>): Promise<void>;
  /** Gives the video back, so that another server makes it; absent if there is no other. */
  release?(): Promise<void>;
  /** Resolves when this process may end without losing a finished video. */
  settled(): Promise<void>;
}

/** Seconds that a video is kept after it is finished. */
export const VIDEO_LIFETIME = 3600;

interface Job {
  /** Changes as it is made. */
  readonly video: Video;
  /** The MP4, once it is finished. */
  file?: Uint8Array;
  /** Aborted when the job is removed. */
  readonly work: AbortController;
  /** Resolves once the client has the file, or the job is removed. */
  readonly settled: Promise<void>;
  settle(): void;
}

/**
 * Makes jobs that live as long as this process.
 * @param capacity videos that are kept or being made; the oldest finished ones make room
 */
export function createVideoJobs(capacity: number): VideoJobs {
  /** The oldest first. */
  const jobs = new Map<string, Job>();

  function forget({ video, work, settle }: Job): void {
    work.abort(videoDeleted());
    settle();
    jobs.delete(video.id);
  }

  function tidy(): void {
    for (const job of jobs.values()) if (job.video.expires_at <= now() && isOver(job.video)) forget(job);
  }

  function makeRoom(): void {
    tidy();
    if (jobs.size < capacity) return;
    const oldest = [...jobs.values()].find(({ video }) => isOver(video));
    if (!oldest) throw tooManyVideos(jobs.size);
    forget(oldest);
  }

  function find(id: string): Job {
    tidy();
    const job = jobs.get(id);
    if (!job) throw noSuchVideo(id);
    return job;
  }

  return {
    async add(asked, _request, work) {
      makeRoom();
      let settle = (): void => {};
      const settled = new Promise<void>((resolve) => {
        settle = resolve;
      });
      const job: Job = { video: newVideo(newVideoId(), asked, now()), work, settled, settle };
      jobs.set(job.video.id, job);
      return claimOf(job);
    },
    get: async (id) => ({ ...find(id).video }),
    async all() {
      tidy();
      return [...jobs.values()].map(({ video }) => ({ ...video }));
    },
    async file(id, fetched) {
      const { file, settle } = find(id);
      if (file && fetched) settle();
      return file;
    },
    async remove(id) {
      forget(find(id));
    },
  };
}

function claimOf(job: Job): VideoClaim {
  return {
    video: { ...job.video },
    report(progress) {
      Object.assign(job.video, progress);
    },
    async complete(file) {
      job.file = file;
      const end = now();
      const times = { completed_at: end, expires_at: end + VIDEO_LIFETIME };
      Object.assign(job.video, { status: 'completed', progress: 100, ...times });
    },
    async fail(error) {
      Object.assign(job.video, { status: 'failed', error, expires_at: now() + VIDEO_LIFETIME });
    },
    settled: () => job.settled,
  };
}

export function newVideoId(): string {
  return `video_${randomUUID()}`;
}

/** @param created in seconds since 1970 */
export function newVideo(id: string, asked: AskedVideo, created: number): Video {
  return {
    id,
    object: 'video',
    status: 'queued',
    progress: 0,
    created_at: created,
    completed_at: null,
    expires_at: created + VIDEO_LIFETIME,
    remixed_from_video_id: null,
    error: null,
    ...asked,
  };
}

function isOver({ status }: Video): boolean {
  return status === 'completed' || status === 'failed';
}

export function videoDeleted(): ApiError {
  return new ApiError(404, 'video_not_found', 'the video was deleted');
}

export function noSuchVideo(id: string): ApiError {
  return new ApiError(404, 'video_not_found', `there is no video '${printable(id)}'; it may have expired`);
}

/** @param count videos that are being made */
export function tooManyVideos(count: number): ApiError {
  const message = `${count} videos are being made already; try again later`;
  return new ApiError(429, 'queue_full', message, { retryAfter: 30 });
}
