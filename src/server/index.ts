/** @file Models over HTTP: the app as a function from requests to answers, and a server that runs it. */

export type { Decoder } from '../decoding/decoder.ts';
export { ApiError, type ApiErrorStatus } from '../errors.ts';
export type { RequestSampler, ServedDevice } from '../sampling/process-sampler.ts';
export { type HostRules, hostRules, type Reach } from './access.ts';
export { type AcditApp, type AcditAppOptions, acditApp } from './acdit-app.ts';
export { type AppOptions, createApp } from './app.ts';
export {
  type Background,
  createBackground,
  DEFAULT_LIMITS,
  type ServerContext,
  type ServerLimits,
} from './context.ts';
export { createGate, type Gate, type GateOptions } from './gate.ts';
export type { HealthOptions } from './health.ts';
export { createMetrics, type Metrics } from './metrics.ts';
export type { ServedModel } from './models.ts';
export type { AccessEntry } from './observation.ts';
export { openRedisStore, type SharedStoreOptions } from './redis/store.ts';
export type { SharedVideosOptions } from './redis/videos.ts';
export type { RequestNames } from './request-names.ts';
export type { PlannedRequest } from './sampling-request.ts';
export { type ModelSource, type RunningServer, type ServeOptions, startServer } from './serve.ts';
export { listStaticFiles, type StaticFile, type StaticFiles } from './static-files.ts';
export { createMemoryStore, type Store } from './store.ts';
export type { FileStore, StoredFile } from './stored-files.ts';
export type { AskedVideo, SharedJobs, TakenOver, VideoClaim, VideoJobs } from './video-jobs.ts';
export { takeOverVideos } from './videos.ts';
