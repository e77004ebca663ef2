/** @file A connection to Redis that outlives the server's absence. Only this file uses the client, and loads it when it is needed. */

import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../../at.ts';
import { messageOf } from '../../attempt.ts';
import { AcditError, ApiError } from '../../errors.ts';
import { printableMessage } from '../../io/printable.ts';
import { defined } from '../../records.ts';
import type { RedisAddress } from './address.ts';

/** A part of a command. */
export type RedisArgument = string | Buffer;

/** A reply: texts and bytes are buffers. */
export type RedisReply = Buffer | number | null | readonly RedisReply[];

/** Milliseconds that a command waits for Redis, and more for each byte it carries. */
const PATIENCE = 5000;
const PATIENCE_PER_BYTE = 1 / 1000;
/** Milliseconds until a connection that is silent is taken for dead; it is pinged more often than that. */
const SILENCE = 5000;
const PING_INTERVAL = 2000;
/** Milliseconds between attempts to connect, and to send. */
const RECONNECT = [50, 100, 200, 500, 1000] as const;
const RESEND = 100;
/** Milliseconds to connect at the start. */
const START = 10_000;

/** Milliseconds between messages about the same refusals. */
const COMPLAIN_EVERY = 60_000;

/** Replies that a later attempt may not get: Redis is starting, full, changing its master, or cannot save. */
const TRANSIENT = /\b(LOADING|BUSY|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|NOREPLICAS|MISCONF|OOM)\b/;

type Client = typeof import('@redis/client');

async function loadClient(): Promise<Client> {
  return import('@redis/client').catch((cause) => {
    throw new AcditError(
      `a store in Redis needs the package @redis/client, which cannot be loaded (${messageOf(cause)}); npm install @redis/client`,
      { cause },
    );
  });
}

/**
 * Connects to Redis.
 * @param log told when Redis goes away and comes back
 * @throws {AcditError} if the client's package is not installed, or Redis refuses us or cannot be reached within 10 seconds
 */
export async function connectRedis(
  address: RedisAddress,
  log: (message: string) => void,
): Promise<RedisConnection> {
  const connection = new RedisConnection(await loadClient(), address, log);
  await connection.open();
  return connection;
}

/** A connection to Redis that is made again when it breaks. Commands fail with 503 while Redis cannot be reached. */
export class RedisConnection {
  readonly #module: Client;
  readonly #name: string;
  readonly #log: (message: string) => void;
  readonly #client: ReturnType<typeof createClientOf>;
  #started = false;
  #closed = false;
  /** Why there is no connection. */
  #failure: string | undefined;
  #upSince = 0;
  #complained = -COMPLAIN_EVERY;

  constructor(module: Client, address: RedisAddress, log: (message: string) => void) {
    this.#module = module;
    this.#name = address.name;
    this.#log = log;
    this.#client = createClientOf(module, address, (cause) => !this.#started && this.#isRefusal(cause));
    this.#client.on('ready', () => this.#arrived());
    this.#client.on('error', (error) => this.#left(error));
  }

  /** Connects for the first time. */
  async open(): Promise<void> {
    const late = new AbortController();
    const connecting = this.#client.connect();
    connecting.catch(() => {}); // it is destroyed below
    const tooLate = sleep(START, undefined, { signal: late.signal }).then(() => {
      throw new Error(this.#failure);
    });
    try {
      await Promise.race([connecting, tooLate]);
      this.#started = true;
    } catch (cause) {
      this.close();
      throw new AcditError(`cannot use the store at ${this.#name}: ${reasonOf(cause)}`, { cause });
    } finally {
      late.abort();
    }
  }

  /** Whether commands can be sent. */
  get up(): boolean {
    return this.#client.isReady;
  }

  /** Milliseconds for which commands could be sent without a break; 0 if they cannot be. */
  get upFor(): number {
    return this.up ? performance.now() - this.#upSince : 0;
  }

  /**
   * Sends a command, again and again if Redis is away, for some seconds. So it may be carried out twice.
   * @throws {ApiError} 503 if Redis stays away
   * @throws {AcditError} if it refuses the command
   */
  async send(...command: readonly RedisArgument[]): Promise<RedisReply> {
    const bytes = command.reduce((sum, part) => sum + part.length, 0);
    const end = performance.now() + PATIENCE + bytes * PATIENCE_PER_BYTE;
    for (;;) {
      try {
        return await this.#sendOnce(command, end - performance.now());
      } catch (cause) {
        if (this.#closed) throw new AcditError('the connection to the store is closed', { cause });
        if (this.#isRefusal(cause)) {
          throw new AcditError(`the store refused a command: ${reasonOf(cause)}`, { cause });
        }
        if (performance.now() + RESEND >= end) throw this.#unavailable(cause);
      }
      await sleep(RESEND);
    }
  }

  /** Runs a script, which names the keys that it uses itself. */
  evaluate(script: string, ...args: readonly RedisArgument[]): Promise<RedisReply> {
    return this.send('EVAL', script, '0', ...args);
  }

  close(): void {
    this.#closed = true;
    if (this.#client.isOpen) this.#client.destroy();
  }

  /** @throws what the client throws, or if there is no reply in time */
  async #sendOnce(command: readonly RedisArgument[], patience: number): Promise<RedisReply> {
    const replied = new AbortController();
    const silence = sleep(Math.max(1, patience), undefined, { signal: replied.signal }).then(() => {
      throw new Error('it does not reply');
    });
    const reply = this.#client.sendCommand<RedisReply>(command);
    try {
      return await Promise.race([reply, silence]);
    } finally {
      replied.abort();
    }
  }

  #isRefusal(error: unknown): boolean {
    return error instanceof this.#module.ErrorReply && !TRANSIENT.test(error.message);
  }

  #arrived(): void {
    this.#upSince = performance.now();
    if (this.#failure !== undefined && this.#started) {
      this.#log(`the store at ${this.#name} can be reached again`);
    }
    this.#failure = undefined;
  }

  #left(error: unknown): void {
    if (this.#failure === undefined && this.#started) {
      this.#log(`the store at ${this.#name} cannot be reached: ${reasonOf(error)}`);
    }
    this.#failure = reasonOf(error);
  }

  /** Makes the error for a command. If Redis is there, but refuses commands for now, that is logged once in a while. */
  #unavailable(cause: unknown): ApiError {
    if (this.up && performance.now() - this.#complained > COMPLAIN_EVERY) {
      this.#complained = performance.now();
      this.#log(`the store at ${this.#name} fails: ${reasonOf(cause)}`);
    }
    const message = 'the store of videos and files is unavailable at the moment; try again';
    return new ApiError(503, 'store_unavailable', message, { retryAfter: 5, cause });
  }
}

/** @param isFinal returns whether an error ends the attempts to connect */
function createClientOf(
  { createClient, RESP_TYPES }: Client,
  { host, port, tls, username, password, database }: RedisAddress,
  isFinal: (cause: Error) => boolean,
) {
  return createClient({
    ...defined({ username, password }),
    database,
    RESP: 2,
    disableOfflineQueue: true,
    pingInterval: PING_INTERVAL,
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    socket: {
      host,
      port,
      ...(tls && { tls }),
      connectTimeout: SILENCE,
      socketTimeout: SILENCE,
      reconnectStrategy: (attempts, cause) =>
        isFinal(cause) ? cause : at(RECONNECT, Math.min(attempts, RECONNECT.length - 1)),
    },
  });
}

/** Returns what is wrong in one line; errors of several addresses have no message of their own. */
function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return printableMessage(messageOf(error) || (code ?? 'unknown error'));
}
