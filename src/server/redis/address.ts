/** @file The URL of a Redis server, whose password must never be shown. */

import { attempt } from '../../attempt.ts';
import { ArgumentError } from '../../errors.ts';

/** Where a Redis server is, and how to log in. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** Host and port, to be shown. */
  readonly name: string;
}

const DEFAULT_PORT = 6379;

/**
 * Reads `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS.
 * @throws {ArgumentError} if it is not such a URL; the message does not show it, since it may hold a password
 */
export function redisAddress(text: string): RedisAddress {
  const url = attempt(() => new URL(text), undefined);
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? 'none')?.[1];
  const username = url && attempt(() => decodeURIComponent(url.username), undefined);
  const password = url && attempt(() => decodeURIComponent(url.password), undefined);
  const fits = url && /^rediss?:$/.test(url.protocol) && url.hostname !== '' && !url.search && !url.hash;
  if (!fits || database === undefined || username === undefined || password === undefined) {
    throw new ArgumentError(
      'the store must be a URL such as redis://127.0.0.1:6379, redis://user:password@host/2 for database 2, or rediss:// for TLS; got another text, which is not shown since it may hold a password',
    );
  }
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    tls: url.protocol === 'rediss:',
    username: username || undefined,
    password: password || undefined,
    database: Number(database),
    name: `${url.hostname}:${port}`,
  };
}
