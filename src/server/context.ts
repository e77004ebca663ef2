/** @file What the routes of a server share, and its limits. */

import type { ApiError } from '../errors.ts';
import type { Metrics } from './metrics.ts';
import type { ServedModel } from './models.ts';
import type { RequestNames } from './request-names.ts';
import type { Limits } from './sampling-request.ts';
import type { Store } from './store.ts';

/** What the routes of a server share. */
export interface ServerContext {
  /** At least one. */
  readonly models: readonly ServedModel[];
  readonly limits: ServerLimits;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly background: Background;
  /** URL at which clients reach the server, if it differs from where it listens: behind a proxy, for example. */
  readonly publicUrl?: string | undefined;
  /** Aborted when no new requests are taken any more, with the error that they get. */
  readonly stopping: AbortSignal;
  /** Aborted when the server ends, with the error that requests get which are not finished. */
  readonly closing: AbortSignal;
  /** Told of errors, and of the requests that they belong to. */
  readonly log: (error: ApiError, names?: RequestNames) => void;
}

/** Work that no connection waits for; the server waits for it before it ends. */
export type Background = ReturnType<typeof createBackground>;

/** Makes a set of tasks, empty at first. */
export function createBackground() {
  const tasks = new Set<Promise<void>>();
  return {
    /** Adds work, which must not reject. */
    add(task: Promise<void>): void {
      tasks.add(task);
      void task.finally(() => tasks.delete(task));
    },
    /** Resolves once there is no more work. */
    async idle(): Promise<void> {
      while (tasks.size > 0) await Promise.all(tasks);
    },
  };
}

/** Limits of requests. */
export interface ServerLimits extends Limits {
  /** Max bytes of a request's body, apart from given blocks. */
  readonly body: number;
  /** Max bytes of a body with given blocks. */
  readonly givenBody: number;
  /** Seconds that a request may take, waiting included. */
  readonly deadline: number;
  /** Seconds that a stream may stay unread before it ends. */
  readonly unread: number;
  /** Videos that are kept, or being made. */
  readonly videos: number;
}

/** Samples of a model at once, and requests that wait for it, of `acdit serve`. */
export const DEFAULT_CAPACITY = { batch: 16, queue: 64 } as const;

/** The limits of `acdit serve`. */
export const DEFAULT_LIMITS: ServerLimits = {
  samples: 10,
  steps: 250,
  blocks: 64,
  strictSize: false,
  body: 64 * 1024,
  givenBody: 4 * 1024 * 1024,
  deadline: 600,
  unread: 30,
  videos: 100,
};
