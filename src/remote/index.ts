/**
 * @file Calls between threads and processes, as functions of the other end: with events, backpressure, cancellation,
 * and errors that keep their class. Transports for Web Workers are here, those of Node in `acdit/remote/node`.
 *
 * @example
 * ```ts
 * // worker.ts
 * export interface Calls {
 *   count: Call<number, string, number>;
 * }
 * serve<Calls>(workerScopePort(globalThis), {
 *   async *count(to) {
 *     for (let i = 0; i < to; i++) yield i;
 *     return 'done';
 *   },
 * });
 *
 * // page.ts
 * const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
 * const remote = connect<Calls>(webWorkerPort(worker, 'the worker'));
 * await remote.call('count', 3, { onEvent: console.log }); // 'done'
 * ```
 */

export { type Channel, createChannel, streamOf } from './channel.ts';
export { type EncodedError, encodeError, reviveError } from './errors.ts';
export { type OnDemand, onDemand } from './on-demand.ts';
export type { Call, Calls, OwnerPort, Port } from './protocol.ts';
export { type CallOptions, connect, type Remote } from './remote.ts';
export { type Handlers, serve, type Transferred, transferred } from './serve.ts';
export { type MessageTarget, webWorkerPort, workerScopePort } from './web-worker.ts';
