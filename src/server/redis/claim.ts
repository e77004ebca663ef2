/**
 * @file The right of one server to make a video in Redis. It has a secret that only its holder knows, and that the next
 * claim replaces, so a server that was paused cannot change a video that another has taken over.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../attempt.ts';
import { AcditError, ApiError } from '../../errors.ts';
import type { Video } from '../api.ts';
import { VIDEO_LIFETIME, type VideoClaim, videoDeleted } from '../video-jobs.ts';
import type { RedisArgument, RedisReply } from './connection.ts';
import { SCRIPTS } from './scripts.ts';

/** What a claim needs of the store. */
export interface ClaimOptions {
  readonly video: Video;
  /** The claim's secret. */
  readonly owner: string;
  /** Aborted when the video is deleted or taken over. */
  readonly work: AbortController;
  /** Milliseconds without a sign of life after which the claim may be taken over. */
  readonly lease: number;
  /** Milliseconds between signs of life. */
  readonly interval: number;
  readonly log: (message: string) => void;
  /** Called once the work has ended, or belongs to another server. It may be called again. */
  ended(): void;
  /** Runs a script of {@link SCRIPTS}. */
  evaluate(script: string, ...args: readonly RedisArgument[]): Promise<RedisReply>;
}

/** Redis' own limit of a value. */
const MAX_BYTES = 512 * 1024 * 1024;
/** Milliseconds between attempts to store how the work ended. */
const RETRY = 1000;
const LIFETIME = String(VIDEO_LIFETIME);

/** See the head of the file. It gives signs of life until the work ends. */
export class RedisClaim implements VideoClaim {
  readonly video: Video;
  readonly #options: ClaimOptions;
  readonly #timer: NodeJS.Timeout;
  #progress: Pick<Video, 'status' | 'progress'>;
  #beating = false;

  constructor(options: ClaimOptions) {
    this.#options = options;
    this.video = options.video;
    this.#progress = options.video;
    this.#timer = setInterval(() => void this.#beat(), options.interval).unref();
    this.#signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  report(progress: Pick<Video, 'status' | 'progress'>): void {
    this.#progress = progress;
  }

  async complete(file: Uint8Array): Promise<void> {
    if (file.byteLength > MAX_BYTES) {
      throw new AcditError(`the video has ${file.byteLength} bytes; the store holds at most ${MAX_BYTES}`);
    }
    await this.#end(SCRIPTS.complete, LIFETIME, Buffer.from(file.buffer, file.byteOffset, file.byteLength));
  }

  async fail(error: NonNullable<Video['error']>): Promise<void> {
    await this.#end(SCRIPTS.fail, LIFETIME, JSON.stringify(error)).catch((cause) =>
      this.#options.log(`${this.video.id} failed, and this could not be stored: ${messageOf(cause)}`),
    );
  }

  async release(): Promise<void> {
    this.#stop();
    if (!this.#signal.aborted) await this.#run(SCRIPTS.release).catch(() => {}); // then it is taken over later
  }

  /** The file outlives this process. */
  async settled(): Promise<void> {}

  get #signal(): AbortSignal {
    return this.#options.work.signal;
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#options.ended();
  }

  #run(script: string, ...args: readonly RedisArgument[]): Promise<RedisReply> {
    return this.#options.evaluate(script, this.video.id, this.#options.owner, ...args);
  }

  async #beat(): Promise<void> {
    if (this.#beating) return;
    this.#beating = true;
    const { status, progress } = this.#progress;
    try {
      const lease = String(this.#options.lease);
      const kept = await this.#run(SCRIPTS.beat, lease, LIFETIME, status, String(progress));
      if (kept === 0) await this.#lose();
    } catch {
      // The connection logs that Redis is away. If it stays away, another server takes the video over.
    } finally {
      this.#beating = false;
    }
  }

  /** Stops the work, since the video was deleted or taken over. */
  async #lose(): Promise<void> {
    const { evaluate, log, work } = this.#options;
    const { id } = this.video;
    const isDeleted = (await evaluate(SCRIPTS.getVideo, id)) === null;
    if (work.signal.aborted) return;
    if (!isDeleted) log(`${id} was taken over by another server, since this one was silent`);
    work.abort(
      isDeleted ? videoDeleted() : new ApiError(503, 'taken_over', 'another server makes the video'),
    );
  }

  /** Stores how the work ended, however long Redis is away. */
  async #end(script: string, ...args: readonly RedisArgument[]): Promise<void> {
    try {
      while (!this.#signal.aborted) {
        const done = await this.#run(script, ...args).catch((error) => {
          if (error instanceof ApiError) return undefined; // Redis is away
          throw error;
        });
        if (done === 0) await this.#lose();
        if (done !== undefined) return;
        await sleep(RETRY);
      }
    } finally {
      this.#stop();
    }
  }
}
