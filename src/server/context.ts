/** @file What the routes share. */

import type { ApiError } from '../errors.ts';
import type { Metrics } from './metrics.ts';
import type { Limits } from './sampling-request.ts';
import type { ServedModel } from './served-model.ts';
import type { FileStore } from './stored-files.ts';

/** What the routes of a server share. */
export interface ServerContext {
  /** At least one. */
  readonly models: readonly ServedModel[];
  readonly limits: ServerLimits;
  readonly files: FileStore;
  readonly metrics: Metrics;
  /** Aborted when no new requests are taken any more, with the error that they get. */
  readonly stopping: AbortSignal;
  /** Aborted when the server ends, with the error that requests get which are not finished. */
  readonly closing: AbortSignal;
  /** Told of errors that are the server's. */
  readonly log: (error: ApiError) => void;
}

/** What a server takes and how long. */
export interface ServerLimits extends Limits {
  /** Bytes of a request's body. */
  readonly body: number;
  /** Seconds that a request may take, waiting included. */
  readonly deadline: number;
  /** Videos that are kept, or being made. */
  readonly videos: number;
}
