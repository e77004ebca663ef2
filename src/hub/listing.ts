/** @file What the hub's API knows of a repository, asked through `@huggingface/hub`, which is loaded when needed. */

import { connected, type Hub } from './connection.ts';
import type { HubLocation } from './names.ts';

/** Files that are read of a list; repositories may have millions. */
const LONGEST = 1000;

/** Paths of the files in a repository, those that may be models first. */
export function listRepository(hub: Hub, location: HubLocation): Promise<string[]> {
  return connected(hub, async (signal) => {
    const { listFiles } = await import('@huggingface/hub');
    const paths: string[] = [];
    for await (const { type, path } of listFiles({ ...parameters(hub, location, signal), recursive: true })) {
      if (type === 'file') paths.push(path);
      if (paths.length === LONGEST) break;
    }
    const isModel = (path: string): boolean => /\.(pt|pth|safetensors|bin)$/.test(path);
    return [...paths.filter(isModel), ...paths.filter((path) => !isModel(path))];
  });
}

/** What is known of a file through the API. */
export interface ListedFile {
  readonly commit: string | undefined;
  readonly checksum: string | undefined;
  readonly size: number;
}

/** @returns undefined if the API knows no such file */
export function listedFile(hub: Hub, location: HubLocation): Promise<ListedFile | undefined> {
  return connected(hub, async (signal) => {
    const { pathsInfo } = await import('@huggingface/hub');
    const where = parameters(hub, location, signal);
    const [info] = await pathsInfo({ ...where, paths: [location.path], expand: true });
    if (info?.type !== 'file') return undefined;
    return { commit: info.lastCommit?.id, checksum: info.lfs?.oid ?? info.oid, size: info.size };
  });
}

function parameters({ settings, fetch }: Hub, { repo, revision }: HubLocation, signal: AbortSignal) {
  return {
    repo: { type: 'model', name: repo },
    revision,
    hubUrl: settings.endpoint,
    fetch: ((input, init) => fetch(input, { ...init, signal })) satisfies typeof globalThis.fetch,
  } as const;
}
