/** @file Files in Redis, which any server that shares it returns. */

import { randomUUID } from 'node:crypto';
import type { FileStore, FileStoreOptions } from '../stored-files.ts';
import type { RedisConnection } from './connection.ts';
import { SCRIPTS } from './scripts.ts';

/** Makes a store of files in Redis; the oldest make room. */
export function redisFiles(
  connection: RedisConnection,
  { capacity, lifetime }: Pick<FileStoreOptions, 'capacity' | 'lifetime'>,
): FileStore {
  return {
    async add({ bytes, type }) {
      const name = randomUUID();
      const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const limits = [lifetime, capacity].map(String);
      await connection.evaluate(SCRIPTS.addFile, name, type, content, ...limits);
      return name;
    },
    async get(name) {
      const reply = await connection.evaluate(SCRIPTS.getFile, name);
      if (!Array.isArray(reply)) return undefined;
      const [type, bytes] = reply;
      return Buffer.isBuffer(bytes) ? { type: String(type), bytes } : undefined;
    },
  };
}
