/** @file Requests to the hub: the token, time limits, and what went wrong in plain words. */

import { HubError } from '../errors.ts';
import { pause } from '../pause.ts';
import type { FileEvent, HubEvent, HubOptions } from './events.ts';
import { describeLocation, type HubLocation } from './names.ts';
import { type HubSettings, hubSettings } from './settings.ts';

/** How to reach the hub. */
export type Hub = Awaited<ReturnType<typeof openHub>>;

/** Ready a connection. Nothing is sent yet. */
export async function openHub(options: HubOptions = {}) {
  const settings = await hubSettings(options.environment);
  return {
    settings,
    /** Like the global one, with the token where the hub itself is asked. */
    fetch: hubFetch(options.fetch ?? fetch, settings),
    signal: options.signal,
    emit: options.onEvent ?? (() => {}),
    retryDelay: options.retryDelay ?? 1000,
    stallTimeout: options.stallTimeout ?? 30_000,
  };
}

/** A file of the hub, named in all that is said of it. */
export class HubFile {
  readonly hub: Hub;
  readonly location: HubLocation;
  readonly name: string;

  constructor(hub: Hub, location: HubLocation) {
    this.hub = hub;
    this.location = location;
    this.name = describeLocation(location);
  }

  emit({ kind, ...event }: FileEvent): void {
    this.hub.emit({ kind, file: this.name, ...event } as HubEvent);
  }

  error(problem: string, options?: ErrorOptions): HubError {
    return new HubError(`${this.name}: ${problem}`, options);
  }

  /** Address of its content at a revision. */
  url(revision: string): string {
    const { repo, path } = this.location;
    const file = path.split('/').map(encodeURIComponent).join('/');
    return `${this.hub.settings.endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${file}`;
  }

  /**
   * Waits before another attempt: longer each time, and at least as long as the server asks.
   * @returns false at once if the server asks for more than five minutes
   */
  async waitAfter({ message, retryAfter = 0 }: ConnectionProblem, failures: number): Promise<boolean> {
    if (retryAfter > LONGEST_WAIT) return false;
    const delay = Math.max(this.hub.retryDelay * 2 ** (failures - 1), retryAfter);
    this.emit({ kind: 'retry', reason: message, delay });
    await pause(delay, this.hub.signal);
    return true;
  }
}

/**
 * Sends the token only to the hub, not to the servers that it redirects to. `fetch` throws for a URL that it does not
 * accept, such as one that a server redirects to, and quotes all of it. It may hold a secret, so only the problem is
 * reported.
 */
function hubFetch(plain: typeof fetch, { endpoint, token, basic }: HubSettings): typeof fetch {
  const authorization = token ? `Bearer ${token.value}` : basic && `Basic ${basic}`;
  const { origin } = new URL(endpoint);
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    try {
      if (!authorization || new URL(url).origin !== origin) return await plain(input, init);
      const headers = new Headers(init?.headers);
      headers.set('Authorization', authorization);
      return await plain(input, { ...init, headers });
    } catch (error) {
      if (!isAddressProblem(error)) throw error;
      throw badRedirect(url);
    }
  };
}

/** Network problems have a cause with a code; refusals by `fetch` itself have none. */
function isAddressProblem(error: unknown): boolean {
  if (!(error instanceof TypeError)) return false;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return code === undefined || code === 'ERR_INVALID_URL';
}

/** Makes the error for a server that redirects to a URL that cannot be fetched. */
export function badRedirect(from: string): HubError {
  const server = URL.canParse(from) ? new URL(from).host : 'the hub';
  return new HubError(
    `${server} redirects to an address that cannot be fetched; try again later, or check HF_ENDPOINT`,
  );
}

/** A connection that was lost or never came about. Another attempt may succeed. */
export class ConnectionProblem extends Error {
  /**
   * Another attempt soon may succeed: the connection was closed, as servers do after some idle time, or
   * the server is busy.
   */
  readonly temporary: boolean;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(
    message: string,
    options: ErrorOptions & { temporary?: boolean; retryAfter?: number | undefined } = {},
  ) {
    super(message, options);
    this.temporary = options.temporary ?? false;
    this.retryAfter = options.retryAfter;
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
  ENOTFOUND: 'its name cannot be found (no network?)',
  EAI_AGAIN: 'its name cannot be looked up (no network?)',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: CLOSED,
  UND_ERR_SOCKET: CLOSED,
  ENETUNREACH: 'there is no network',
  EHOSTUNREACH: 'no route to the server',
  ETIMEDOUT: 'no answer',
  UND_ERR_CONNECT_TIMEOUT: 'no answer',
};

function problemOf(error: Error): ConnectionProblem {
  const { code = '', message } = error.cause as NodeJS.ErrnoException;
  const temporary = reasons[code] === CLOSED;
  return new ConnectionProblem(reasons[code] ?? (message || error.message), { cause: error, temporary });
}

/** The longest wait that a server may ask for, in milliseconds. */
const LONGEST_WAIT = 300_000;

/** Makes the error for an answer without success, which may be another the next time, or a refusal. */
export function failure(file: HubFile, answer: Pick<Response, 'status' | 'headers'>): Error {
  const { status, headers } = answer;
  if (status === 429 || status === 408 || status >= 500) return busy(answer);
  return refusal(file, status, headers.get('X-Error-Code'));
}

/** Makes the problem for a response with a temporary status. */
function busy({ status, headers }: Pick<Response, 'status' | 'headers'>): ConnectionProblem {
  const retryAfter = retryAfterOf(headers);
  const asks = retryAfter === undefined ? '' : ` and asks to wait ${Math.ceil(retryAfter / 1000)} s`;
  return new ConnectionProblem(`the hub answers ${status}${asks}`, { temporary: true, retryAfter });
}

/**
 * Returns the milliseconds that a server asks to wait: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3),
 * or the time to the reset of the hub's rate limit, `RateLimit: "api";r=0;t=55`.
 */
function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get('Retry-After')?.trim() ?? /;\s*t=(\d+)/.exec(headers.get('RateLimit') ?? '')?.[1];
  if (value === undefined) return undefined;
  const wait = /^\d+$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(wait, 0);
}

/** The error for a status that is not a success. @param code the hub's own name for it, `X-Error-Code`. */
function refusal(file: HubFile, status: number, code: string | null): HubError {
  const { endpoint, token } = file.hub.settings;
  const { repo } = file.location;
  const page = `${endpoint}/${repo}`;
  if (code === 'GatedRepo' || status === 403) {
    return file.error(
      `access is denied (${status}); accept the terms on ${page} if it has some, and ` +
        (token
          ? `see whether the token in ${token.source} may read it`
          : 'set HF_TOKEN to a token that may read it'),
    );
  }
  if (status === 401) {
    return file.error(
      token
        ? `the token in ${token.source} was refused (401); set HF_TOKEN to a valid one that may read ${page}`
        : `there is no such repository, or it is private or gated (401); if it is, set HF_TOKEN to a token that may read it`,
    );
  }
  if (status === 404) return file.error(`${endpoint} has no repository ${repo}`);
  return file.error(`${endpoint} answers with status ${status}; try again later`);
}
