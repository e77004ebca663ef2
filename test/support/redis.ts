/** @file A `redis-server` for one test. */

import { onTestFinished } from 'vitest';
import { redisAddress } from '../../src/server/redis/address.ts';
import { RedisConnection } from '../../src/server/redis/connection.ts';
import { hasRedis, type RedisServer, startRedisServer } from './redis-server.ts';
import { temporaryFolder } from './temporary-folder.ts';

export { hasRedis };

// Tests without one are skipped, unless ACDIT_REQUIRE_REDIS is set, as in CI.
if (!hasRedis) {
  const problem = 'redis-server is not installed: tests with a shared store are skipped';
  if (process.env.ACDIT_REQUIRE_REDIS) throw new Error(problem);
  console.warn(problem);
}

/** A server that ends with its test. */
export interface TestRedis extends RedisServer {
  /** A connection for what other programs may do. */
  connect(): Promise<RedisConnection>;
}

/** Starts a server for one test. @param options more of its options, such as `--requirepass` */
export async function startRedis(...options: readonly string[]): Promise<TestRedis> {
  const server = await startRedisServer(temporaryFolder(), options);
  onTestFinished(() => server.kill());
  return {
    ...server,
    async connect() {
      const client = new RedisConnection(await import('@redis/client'), redisAddress(server.url), () => {});
      await client.open();
      onTestFinished(() => client.close());
      return client;
    },
  };
}
