/** @file What the hub's API knows of a repository, asked through `@huggingface/hub`, which is loaded when needed. */

import { HubError } from '../errors.ts';
import { printable, printableList } from '../io/printable.ts';
import { formatBytes } from '../io/quantities.ts';
import { didYouMean } from '../nearest.ts';
import { ConnectionProblem, connected, type Hub } from './connection.ts';
import { describeLocation, type HubLocation } from './names.ts';

/** Max entries that are read of a list; repositories may have millions. */
const LONGEST = 1000;
/** Max bytes of an API response. 1000 entries take about 300 kB. */
const LARGEST_ANSWER = 10e6;
/** Max pages of a list; the hub's have 1000 entries. */
const MAX_PAGES = 10;

/**
 * Lists the files in a repository, those that may be models first. Only the beginning of a long list is read.
 * @throws {HubError} if the answer is not a list, is larger than 10 MB or has more than 10 pages; {ConnectionProblem} for
 * failures of the network.
 */
export function listRepository(hub: Hub, location: HubLocation): Promise<string[]> {
  return understood(hub, async (signal) => {
    const { listFiles } = await import('@huggingface/hub');
    const paths: string[] = [];
    let entries = 0;
    const where = parameters(hub, location, signal);
    // Unlike `pathsInfo`, this puts the revision into the URL unchanged.
    const revision = encodeURIComponent(location.revision);
    for await (const { type, path } of listFiles({ ...where, revision, recursive: true })) {
      if (type === 'file' && typeof path === 'string') paths.push(path);
      if (++entries === LONGEST) break;
    }
    const isModel = (path: string): boolean => /\.(pt|pth|safetensors|bin)$/.test(path);
    return [...paths.filter(isModel), ...paths.filter((path) => !isModel(path))];
  });
}

/** The error for a missing file, naming the existing ones. */
export async function missingFile(hub: Hub, location: HubLocation): Promise<HubError> {
  const { repo, revision, path } = location;
  const where = describeLocation({ repo, revision, path: '' });
  const files = await listRepository(hub, location).catch(() => undefined);
  if (!files) return new HubError(`${where} holds no ${path}, or there is no such repository or revision`);
  if (files.length === 0) return new HubError(`${where} holds no ${path}: it is empty`);
  return new HubError(
    `${where} holds no ${path}${didYouMean(path, files, (file) => `${repo}/${file}`) || '.'} It holds ${printableList(files)}`,
  );
}

/**
 * Returns what is known of a file through the API; undefined if it knows no such file.
 * @throws {HubError} if the answer is not one of the API; {ConnectionProblem} for failures of the network.
 */
export function listedFile(hub: Hub, location: HubLocation) {
  return understood(hub, async (signal) => {
    const { pathsInfo } = await import('@huggingface/hub');
    const where = parameters(hub, location, signal);
    const [info] = await pathsInfo({ ...where, paths: [location.path], expand: true });
    if (info?.type !== 'file') return undefined;
    return {
      commit: textOf(info.lastCommit?.id),
      checksum: textOf(info.lfs?.oid ?? info.oid),
      size: info.size,
    };
  });
}

/** Answers are somebody else's JSON, which may not have the library's types. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Asks the API. @throws {HubError} also for an answer that the library does not understand */
async function understood<T>(hub: Hub, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  try {
    return await connected(hub, action);
  } catch (cause) {
    hub.signal?.throwIfAborted();
    if (cause instanceof HubError || cause instanceof ConnectionProblem) throw cause;
    const reason = printable((cause as Error).message);
    throw new HubError(`${hub.settings.endpoint} does not answer as the Hugging Face Hub does (${reason})`, {
      cause,
    });
  }
}

function parameters({ settings, fetch }: Hub, { repo, revision }: HubLocation, signal: AbortSignal) {
  return {
    repo: { type: 'model', name: repo },
    revision,
    hubUrl: settings.endpoint,
    fetch: limited(fetch, signal),
  } as const;
}

/** All responses together are limited in size, and by the signal in time. */
function limited(fetch: Hub['fetch'], signal: AbortSignal): typeof globalThis.fetch {
  let received = 0;
  let pages = 0;
  return async (input, init) => {
    if (++pages > MAX_PAGES) throw new HubError(`the hub's list has more than ${MAX_PAGES} pages`);
    const response = await fetch(input, { ...init, signal });
    const { status, statusText, headers, body } = response;
    const counted = body?.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(bytes, controller) {
          received += bytes.length;
          if (received <= LARGEST_ANSWER) controller.enqueue(bytes);
          else
            controller.error(new HubError(`the hub's answer is larger than ${formatBytes(LARGEST_ANSWER)}`));
        },
      }),
    );
    return new Response(counted ?? null, { status, statusText, headers });
  };
}
