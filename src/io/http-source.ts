/** @file Files on the network as byte sources, through `fetch`: of a large file only the ranges that are read. */

import { FormatError } from '../errors.ts';
import { type ByteSource, bytesSource, checkRange } from './byte-source.ts';

/** How a file on the web is requested. */
export interface HttpOptions {
  /** Default: the platform's. */
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A file on the network. Where the server does not serve ranges, the whole file is fetched at once.
 * @throws {FormatError} if there is no such file, or it is unavailable.
 * @throws the signal's reason once it is aborted
 */
export async function openUrl(url: string, options: HttpOptions = {}): Promise<ByteSource> {
  const first = await request(url, [0, 0], options);
  const total = Number(/\/(\d+)$/.exec(first.headers.get('content-range') ?? '')?.[1]);
  if (first.status !== 206 || !Number.isSafeInteger(total)) {
    return bytesSource(await bytesOf(first, url), url);
  }
  await first.arrayBuffer();
  const file = { name: url, size: total };
  return {
    ...file,
    async read(offset, length) {
      checkRange(file, offset, length);
      if (length === 0) return new Uint8Array();
      const answer = await request(url, [offset, offset + length - 1], options);
      const bytes = await bytesOf(answer, url);
      if (answer.status === 206 && bytes.length === length) return bytes;
      throw new FormatError(
        `${url}: asked for ${length} bytes at ${offset}, got ${bytes.length} with status ${answer.status}: did it change?`,
      );
    },
    async close() {},
  };
}

/** @param range first and last byte. */
async function request(
  url: string,
  [first, last]: readonly [number, number],
  { signal, fetch = globalThis.fetch }: HttpOptions,
): Promise<Response> {
  const headers = { Range: `bytes=${first}-${last}` };
  const answer = await fetch(url, { headers, ...(signal && { signal }) }).catch((cause) => {
    signal?.throwIfAborted();
    throw new FormatError(`${url}: cannot be fetched (${(cause as Error).message}); are you online?`, {
      cause,
    });
  });
  if (answer.ok) return answer;
  throw new FormatError(`${url}: the server answers with status ${answer.status}; check the address`);
}

async function bytesOf(answer: Response, url: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await answer.arrayBuffer());
  } catch (cause) {
    throw new FormatError(`${url}: its transfer broke off; try again`, { cause });
  }
}
