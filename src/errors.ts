/**
 * @file Every error this package throws on purpose. A message says what was wrong, what was expected and
 * got, and what to do. The command line prints it as one line and exits 2.
 */

/** Max characters of a message, with all its quotes: more than any of ours needs. */
export const MAX_MESSAGE_LENGTH = 4000;

/** Base of all errors that describe a problem the caller can act on. */
export class AcditError extends Error {
  override name = 'AcditError';

  constructor(message?: string, options?: ErrorOptions) {
    super(message && bounded(message), options);
  }
}

/** Returns a message without its middle if it is too long: it begins with what is wrong and ends with what to do. */
function bounded(message: string): string {
  if (message.length <= MAX_MESSAGE_LENGTH) return message;
  const half = MAX_MESSAGE_LENGTH / 2 - 3;
  return `${message.slice(0, half)} ... ${message.slice(-half)}`;
}

/** Tensors or symbolic tensors whose shapes or dtypes do not fit an operation. */
export class ShapeError extends AcditError {
  override name = 'ShapeError' as const;
}

/** A model or recipe configuration that is not valid. */
export class ConfigError extends AcditError {
  override name = 'ConfigError' as const;
}

/** A file that cannot be read as the format it should have: truncated, foreign or malicious. */
export class FormatError extends AcditError {
  override name = 'FormatError' as const;
}

/** A well-formed checkpoint that does not hold the model it should. */
export class CheckpointError extends AcditError {
  override name = 'CheckpointError' as const;
}

/**
 * A file of the Hugging Face Hub that is unavailable: no network, no such file, no access, damaged, or no disk space.
 */
export class HubError extends AcditError {
  override name = 'HubError' as const;
}

/** A dataset that is missing, empty, or mostly unreadable. */
export class DatasetError extends AcditError {
  override name = 'DatasetError' as const;
}

/** There is no decoder for videos on this machine, or it does not start. */
export class VideoDecoderError extends AcditError {
  override name = 'VideoDecoderError' as const;
}

/** An argument of a function or of the command line that is out of its range. */
export class ArgumentError extends AcditError {
  override name = 'ArgumentError' as const;
  /** The field of a request that is wrong, by its name in the library, if the error is about one. */
  readonly field: string | undefined;
  /** The message after the field's name, for callers that know the field by another name: `must be 0 or more, got -1`. */
  readonly problem: string | undefined;

  constructor(
    message?: string,
    { field, problem, ...options }: ErrorOptions & { field?: string; problem?: string } = {},
  ) {
    super(message, options);
    this.field = field;
    this.problem = problem;
  }
}

/** Training that cannot continue, such as a loss that became NaN. */
export class TrainingError extends AcditError {
  override name = 'TrainingError' as const;
}

/** A device or runtime that is not available here or failed. */
export class DeviceError extends AcditError {
  override name = 'DeviceError' as const;
}

/** A request to the server that is refused, or whose work cannot be finished; `status` is HTTP's. */
export class ApiError extends AcditError {
  override name = 'ApiError' as const;
  readonly status: ApiErrorStatus;
  /** Identifies the case for programs. */
  readonly code: string;
  /** The field of the request that is meant, if one is. */
  readonly param: string | undefined;
  /** Seconds after which the same request may do better. */
  readonly retryAfter: number | undefined;
  /** The methods that the path takes, if it does not take the request's. */
  readonly allowed: readonly string[] | undefined;

  constructor(
    status: ApiErrorStatus,
    code: string,
    message: string,
    {
      param,
      retryAfter,
      allowed,
      cause,
    }: { param?: string; retryAfter?: number; allowed?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
    this.allowed = allowed;
  }
}

/** HTTP status of an {@link ApiError}. 499 is for logs and metrics: the client closed the connection. */
export type ApiErrorStatus =
  | 400
  | 401
  | 403
  | 404
  | 405
  | 408
  | 409
  | 413
  | 415
  | 429
  | 499
  | 500
  | 503
  | 504;
