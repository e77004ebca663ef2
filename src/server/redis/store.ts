/** @file A store in Redis or Valkey, which any number of servers share. */

import type { Store } from '../store.ts';
import { FILES } from '../store.ts';
import { redisAddress } from './address.ts';
import { connectRedis } from './connection.ts';
import { redisFiles } from './files.ts';
import { redisVideos, type SharedVideosOptions } from './videos.ts';

/** How servers share a store. */
export type SharedStoreOptions = Partial<SharedVideosOptions>;

/** Seconds without a sign of life after which another server makes a video. */
export const DEFAULT_SILENCE = 60;

/**
 * Connects to a store in Redis or Valkey. It needs the package `@redis/client`.
 * @param url `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS
 * @throws {ArgumentError} if the URL is not valid; the message does not show it
 * @throws {AcditError} if Redis cannot be reached within 10 seconds or refuses the password, or if the package is missing
 */
export async function openRedisStore(
  url: string,
  { capacity = 100, silence = DEFAULT_SILENCE, log = () => {} }: SharedStoreOptions = {},
): Promise<Store> {
  const connection = await connectRedis(redisAddress(url), log);
  const videos = redisVideos(connection, { capacity, silence, log });
  // Redis may refuse a client that does not log in, or a user who may not run scripts, at its first command only.
  await videos.all().catch((error) => {
    connection.close();
    throw error;
  });
  return {
    videos,
    files: redisFiles(connection, FILES),
    get up() {
      return connection.up;
    },
    close: () => connection.close(),
  };
}
