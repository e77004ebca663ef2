/** @file What happens while something is fetched from the hub, for callers that show it. */

import type { Environment } from './settings.ts';

/** What happens to a file. Sizes are in bytes. */
export type FileEvent =
  /** It is in the cache already. */
  | { readonly kind: 'cached'; readonly path: string }
  /** The hub cannot be asked, so the copy in the cache is used, which may not be the newest. */
  | { readonly kind: 'unreachable'; readonly reason: string }
  /**
   * The file in the cache is damaged or planted; `path` is not used. If the hub can be reached, it is downloaded again.
   */
  | { readonly kind: 'damaged'; readonly path: string }
  /** Another process is downloading the same file; its download will be used. */
  | { readonly kind: 'waiting' }
  /** `done` bytes are left from an interrupted download. */
  | { readonly kind: 'start'; readonly done: number; readonly size: number }
  | { readonly kind: 'progress'; readonly done: number; readonly size: number }
  /** The connection broke; the download resumes after `delay` milliseconds. */
  | { readonly kind: 'retry'; readonly reason: string; readonly delay: number }
  /** The checksum is computed. */
  | { readonly kind: 'verify'; readonly done: number; readonly size: number }
  /** It is in the cache now. */
  | { readonly kind: 'done'; readonly path: string };

/** One event of a download. */
export type HubEvent = FileEvent & { readonly file: string };

/** How to reach the hub, and who receives events. */
export interface HubOptions {
  /** Environment variables to read settings from; default `process.env`. */
  readonly environment?: Environment | undefined;
  /** Used instead of the global one, for example to go through a proxy. */
  readonly fetch?: typeof fetch | undefined;
  /** Stops a download. Its part of the file is kept, and the next download resumes from there. */
  readonly signal?: AbortSignal | undefined;
  /** Gets what happens, to show progress by. */
  readonly onEvent?: ((event: HubEvent) => void) | undefined;
  /** Milliseconds before the first new attempt after a broken connection; doubled with each. Default 1000. */
  readonly retryDelay?: number | undefined;
  /** Milliseconds without a byte after which a connection counts as broken. Default 30,000. */
  readonly stallTimeout?: number | undefined;
}
