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
      await connection.send(
        'EVAL',
        SCRIPTS.addFile,
        '0',
        name,
        type,
        content,
        String(lifetime),
        String(capacity),
      );
      return name;
    },
    async get(name) {
      const reply = await connection.send('EVAL', SCRIPTS.getFile, '0', name);
      if (!Array.isArray(reply)) return undefined;
      const [type, bytes] = reply;
      return Buffer.isBuffer(bytes) ? { type: String(type), bytes } : undefined;
    },
  };
}
