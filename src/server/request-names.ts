/** @file How a request is known in logs and answers. */

/** How a request is known in logs. The fields of the trace are those of the request's `traceparent`, if it has one. */
export interface RequestNames {
  readonly request_id: string;
  readonly trace_id?: string;
  readonly span_id?: string;
  readonly trace_flags?: string;
}
