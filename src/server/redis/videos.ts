/**
 * @file Videos in Redis: any server answers for them, and if the one that makes a video falls silent, another makes it
 * again from the beginning, with the same seed.
 */

import { randomUUID } from 'node:crypto';
import { attempt } from '../../attempt.ts';
import { type Video, type VideoRequest, videoRequestSchema, videoSchema } from '../api.ts';
import {
  type AskedVideo,
  newVideo,
  newVideoId,
  noSuchVideo,
  type TakenOver,
  tooManyVideos,
  VIDEO_LIFETIME,
  type VideoClaim,
  type VideoJobs,
  videoDeleted,
} from '../video-jobs.ts';
import { type ClaimOptions, RedisClaim } from './claim.ts';
import type { RedisConnection, RedisReply } from './connection.ts';
import { SCRIPTS } from './scripts.ts';

/** How videos are shared. */
export interface SharedVideosOptions {
  /** Videos that are kept or being made; the oldest finished ones make room. */
  readonly capacity: number;
  /** Seconds without a sign of life after which another server makes a video. */
  readonly silence: number;
  /** Told of videos that this server lost to another, or could not store. */
  readonly log: (message: string) => void;
}

/** Servers that may end while they make a video, before it fails. */
const ATTEMPTS = 3;
/** Milliseconds between signs of life, at most; they also find out if a video was deleted. */
const BEAT = 1000;
/** Milliseconds that Redis must have been there before a server takes over: first, owners give their signs of life. */
const SETTLE = 3000;

/** Bytes that are read at a time, so that a large video is not a reply that takes too long. */
const PIECE = 4 * 1024 * 1024;

const GAVE_UP = {
  code: 'servers_ended',
  message: `${ATTEMPTS} servers ended while they made the video`,
};

const OTHER_VERSION = {
  code: 'server_error',
  message: 'it was requested from another version of the server',
};

/** Makes the videos of all servers that share a Redis. */
export function redisVideos(connection: RedisConnection, options: SharedVideosOptions): VideoJobs {
  const { capacity, silence, log } = options;
  const lease = Math.ceil(silence * 1000);
  const interval = Math.min(BEAT, lease / 4);
  /** Work of this server that has not ended, by the ids of the videos. */
  const working = new Map<string, AbortController>();
  const evaluate: ClaimOptions['evaluate'] = (script, ...args) => connection.evaluate(script, ...args);

  function claim(video: Video, owner: string, work: AbortController): VideoClaim {
    working.set(video.id, work);
    const ended = (): void => {
      if (working.get(video.id) === work) working.delete(video.id);
    };
    return new RedisClaim({ video, owner, work, lease, interval, log, ended, evaluate });
  }

  return {
    async add(asked, request, work) {
      const [id, owner] = [newVideoId(), randomUUID()];
      const times = [lease, VIDEO_LIFETIME, capacity].map(String);
      const job = [asked.model, JSON.stringify(asked), JSON.stringify(request)];
      const reply = await evaluate(SCRIPTS.addVideo, id, owner, ...times, ...job);
      if (Array.isArray(reply)) throw tooManyVideos(Number(reply[1]));
      return claim(newVideo(id, asked, Number(reply)), owner, work);
    },
    async get(id) {
      const video = videoOf(id, await evaluate(SCRIPTS.getVideo, id));
      if (!video) throw noSuchVideo(id);
      return video;
    },
    async all() {
      const found = (await evaluate(SCRIPTS.allVideos)) as readonly [Buffer, RedisReply][];
      return found.flatMap(([id, row]) => videoOf(String(id), row) ?? []);
    },
    file: (id) => readMp4(evaluate, id),
    async remove(id) {
      const removed = await evaluate(SCRIPTS.removeVideo, id);
      if (removed !== 1) throw noSuchVideo(id);
      working.get(id)?.abort(videoDeleted());
    },
    shared: {
      interval,
      takeOver: (models, work) =>
        takeOver({
          ...{ connection, lease, models, own: [...working.keys()] },
          claim: (video, owner) => claim(video, owner, work),
        }),
    },
  };
}

/** What a takeover needs. */
interface Takeover {
  readonly connection: RedisConnection;
  readonly lease: number;
  /** Ids of the videos that this server makes: it may have been too busy to report them in time. */
  readonly own: readonly string[];
  /** Names of the models that it has room for. */
  readonly models: readonly string[];
  claim(video: Video, owner: string): VideoClaim;
}

/** Claims a video whose server is silent. */
async function takeOver({ connection, lease, own, models, claim }: Takeover): Promise<TakenOver | undefined> {
  if (models.length === 0 || connection.upFor < Math.min(SETTLE, lease)) return undefined;
  const owner = randomUUID();
  const times = [lease, VIDEO_LIFETIME, ATTEMPTS].map(String);
  const lists = [String(own.length), ...own, ...models];
  const reply = await connection.evaluate(
    SCRIPTS.takeOver,
    owner,
    ...times,
    JSON.stringify(GAVE_UP),
    ...lists,
  );
  if (!Array.isArray(reply)) return undefined;
  const [id, asked, row] = reply as [Buffer, Buffer, RedisReply];
  const video = videoOf(String(id), row);
  const request = requestOf(asked);
  const held = claim(video ?? newVideo(String(id), UNKNOWN, 0), owner);
  if (video && request) return { claim: held, request };
  await held.fail(OTHER_VERSION);
  return undefined;
}

/** Returns the MP4; undefined if there is none. */
async function readMp4(evaluate: ClaimOptions['evaluate'], id: string): Promise<Buffer | undefined> {
  const size = Number(await evaluate(SCRIPTS.mp4Size, id));
  const pieces: Buffer[] = [];
  for (let start = 0; start < size; start += PIECE) {
    const bounds = [start, start + PIECE - 1].map(String);
    pieces.push((await evaluate(SCRIPTS.mp4Bytes, id, ...bounds)) as Buffer);
  }
  const file = Buffer.concat(pieces);
  return size > 0 && file.length === size ? file : undefined; // it may be deleted meanwhile
}

/** Stands for what is known of a video that another version of the server stored. */
const UNKNOWN: AskedVideo = {
  ...{ model: '', prompt: '', seconds: '', size: '' },
  ...{ blocks: 1, seed: 0, untrained: null, notes: [] },
};

/** Reads the fields of a video; undefined if it is missing, or was stored by another version. */
function videoOf(id: string, row: RedisReply): Video | undefined {
  if (!Array.isArray(row)) return undefined;
  const [asked, status, progress, created, completed, expires, error] = row.map((field) =>
    field === null ? undefined : String(field),
  );
  const video = attempt(
    () => ({
      ...newVideo(id, JSON.parse(asked ?? 'null'), Number(created)),
      status,
      progress: Number(progress),
      completed_at: completed === undefined ? null : Number(completed),
      expires_at: Number(expires),
      error: error === undefined ? null : JSON.parse(error),
    }),
    undefined,
  );
  return videoSchema.safeParse(video).data;
}

function requestOf(text: Buffer): VideoRequest | undefined {
  return videoRequestSchema.safeParse(attempt(() => JSON.parse(String(text)), undefined)).data;
}
