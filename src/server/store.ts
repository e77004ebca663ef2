/** @file Where a server keeps what outlives a request: videos, and images that are fetched later. */

import { createFileStore, type FileStore } from './stored-files.ts';
import { createVideoJobs, type VideoJobs } from './video-jobs.ts';

/** Keeps videos and files. */
export interface Store {
  readonly videos: VideoJobs;
  readonly files: FileStore;
  /** Whether it can be reached. */
  readonly up: boolean;
  /** Ends the connection to it, if there is one. */
  close(): void;
}

/** Images that were requested as URLs are kept for an hour, as OpenAI's are. */
export const FILES = { capacity: 256e6, lifetime: 3600 } as const;

/**
 * Makes a store in the memory of this process.
 * @param videos max videos that are kept or being made; the oldest finished ones make room
 */
export function createMemoryStore({ videos }: { readonly videos: number }): Store {
  return { videos: createVideoJobs(videos), files: createFileStore(FILES), up: true, close: () => {} };
}
