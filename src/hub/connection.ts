/** @file Requests to the hub: the token, time limits, and what went wrong in plain words. */

import type { HubEvent, HubOptions } from './events.ts';
import { type HubSettings, hubSettings } from './settings.ts';

/** How to reach the hub. */
export interface Hub {
  readonly settings: HubSettings;
  /** Like the global one, with the token where the hub itself is asked. */
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal | undefined;
  readonly emit: (event: HubEvent) => void;
  readonly retryDelay: number;
  readonly stallTimeout: number;
}

/** Ready a connection. Nothing is sent yet. */
export async function openHub(options: HubOptions = {}): Promise<Hub> {
  const settings = await hubSettings(options.environment);
  return {
    settings,
    fetch: withToken(options.fetch ?? fetch, settings),
    signal: options.signal,
    emit: options.onEvent ?? (() => {}),
    retryDelay: options.retryDelay ?? 1000,
    stallTimeout: options.stallTimeout ?? 30_000,
  };
}

/** The servers that the hub redirects to have no business with the token. */
function withToken(plain: typeof fetch, { endpoint, token }: HubSettings): typeof fetch {
  if (!token) return plain;
  const { origin } = new URL(endpoint);
  return (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (new URL(url).origin !== origin) return plain(input, init);
    const headers = new Headers(init?.headers);
    headers.set('Authorization', `Bearer ${token.value}`);
    return plain(input, { ...init, headers });
  };
}

/** A connection that was lost or never came about. Another attempt may succeed. */
export class ConnectionProblem extends Error {
  /** There was a connection, and it was closed: a server does that to connections that were idle for a while. */
  readonly closed: boolean;

  constructor(message: string, { closed = false, ...options }: ErrorOptions & { closed?: boolean } = {}) {
    super(message, options);
    this.closed = closed;
  }
}

/**
 * Do something with a connection, which counts as lost when `alive` is not called for the hub's stall timeout.
 * @throws {ConnectionProblem} for failures of the network; the reason of the hub's signal if that aborts.
 */
export async function connected<T>(
  hub: Hub,
  action: (signal: AbortSignal, alive: () => void) => Promise<T>,
): Promise<T> {
  const { signal, stallTimeout } = hub;
  const stalled = new AbortController();
  const timer = setTimeout(
    () => stalled.abort(new ConnectionProblem(`no answer for ${stallTimeout / 1000} s`)),
    stallTimeout,
  );
  try {
    signal?.throwIfAborted();
    return await action(AbortSignal.any([stalled.signal, ...(signal ? [signal] : [])]), () =>
      timer.refresh(),
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (stalled.signal.aborted) throw stalled.signal.reason;
    // All that fetch throws for the network is a TypeError with the cause in it.
    if (error instanceof TypeError && error.cause !== undefined) throw problemOf(error);
    throw error;
  } finally {
    clearTimeout(timer);
    stalled.abort(); // closes what was not read to its end
  }
}

const CLOSED = 'the connection was closed';

const reasons: Record<string, string> = {
  ENOTFOUND: 'its name cannot be found: is there a network?',
  EAI_AGAIN: 'its name cannot be looked up: is there a network?',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: CLOSED,
  UND_ERR_SOCKET: CLOSED,
  ENETUNREACH: 'there is no network',
  EHOSTUNREACH: 'there is no way to it',
  ETIMEDOUT: 'no answer',
  UND_ERR_CONNECT_TIMEOUT: 'no answer',
};

function problemOf(error: Error): ConnectionProblem {
  const { code = '', message } = error.cause as NodeJS.ErrnoException;
  const closed = reasons[code] === CLOSED;
  return new ConnectionProblem(reasons[code] ?? (message || error.message), { cause: error, closed });
}

/** Waits before another attempt, longer each time. */
export function attemptDelay({ retryDelay }: Hub, failures: number): number {
  return retryDelay * 2 ** (failures - 1);
}

/** Is a status one that may be another the next time? */
export function isPassing(status: number): boolean {
  return status === 429 || status === 408 || status >= 500;
}

/** Address of a file's content. */
export function resolveUrl(endpoint: string, repo: string, revision: string, path: string): string {
  const file = path.split('/').map(encodeURIComponent).join('/');
  return `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${file}`;
}
