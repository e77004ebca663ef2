/** @file The content of a file from the hub to the disk, over as many connections as it takes. */

import type { FileHandle } from 'node:fs/promises';
import { HubError } from '../errors.ts';
import { writeAll } from '../io/atomic-write.ts';
import { formatBytes } from '../io/quantities.ts';
import { pause } from '../pause.ts';
import {
  attemptDelay,
  busy,
  ConnectionProblem,
  connected,
  type Hub,
  isPassing,
  resolveUrl,
} from './connection.ts';
import type { FileInfo } from './file-info.ts';
import { describeLocation, type HubLocation } from './names.ts';
import { refusal } from './refusals.ts';

/** Max attempts in a row that deliver almost nothing. */
const ATTEMPTS = 6;
/** A connection that delivers fewer bytes per second, for the stall timeout, counts as broken. */
const SLOWEST = 1000;

/**
 * Write a file's content from byte `start` on. Bytes are written at their places, so that two processes that write the
 * same file do each other no harm.
 * @throws {HubError} if the disk is full, the connection breaks again and again, or the server sends something else.
 */
export async function transfer(
  hub: Hub,
  location: HubLocation,
  info: FileInfo,
  target: FileHandle,
  start: number,
): Promise<void> {
  const file = describeLocation(location);
  const { size } = info;
  let done = start;
  let failures = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (done + bytes.length > size) {
      throw new HubError(`${file}: the server sends more than its ${size} bytes; try again later`);
    }
    await writeAll(target, bytes, done).catch((cause) => {
      throw diskProblem(file, size - done, cause);
    });
    done += bytes.length;
    hub.emit({ kind: 'progress', file, done, size });
  };
  while (done < size) {
    const before = done;
    try {
      await receive(hub, location, info, done, write);
    } catch (error) {
      if (!(error instanceof ConnectionProblem)) throw error;
      failures = done - before < leastBytes(hub) ? failures + 1 : 1;
      const delay = attemptDelay(hub, failures, error.retryAfter);
      if (failures === ATTEMPTS || delay === undefined) {
        const times = failures > 1 ? `, ${failures} times in a row` : '';
        throw new HubError(
          `${file}: ${error.message}${times}; ${formatBytes(done)} of ${formatBytes(size)} are kept, and the same ` +
            'command resumes from there',
          { cause: error },
        );
      }
      hub.emit({ kind: 'retry', file, reason: error.message, delay });
      await pause(delay, hub.signal);
    }
  }
}

/** One request. @throws {ConnectionProblem} if it ends before the file does. */
function receive(
  hub: Hub,
  location: HubLocation,
  info: FileInfo,
  from: number,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  // By its commit, what is asked for cannot change between two requests.
  const url = resolveUrl(hub.settings.endpoint, location.repo, info.commit, location.path);
  return connected(hub, async (signal, alive) => {
    const response = await hub.fetch(url, {
      headers: { 'Accept-Encoding': 'identity', ...(from > 0 && { Range: `bytes=${from}-` }) },
      signal,
    });
    if (!response.ok) {
      await response.body?.cancel();
      if (isPassing(response.status)) throw busy(response);
      throw refusal(hub, location, response.status, response.headers.get('X-Error-Code'));
    }
    let skip = from - firstByte(response, location, from, info.size);
    let left = info.size - from;
    const watch = watchSpeed(hub);
    for await (const bytes of response.body ?? []) {
      alive();
      watch(bytes.length);
      const wanted = bytes.subarray(Math.min(skip, bytes.length));
      skip -= bytes.length - wanted.length;
      if (wanted.length > 0) await write(wanted);
      left -= wanted.length;
    }
    if (left > 0) throw new ConnectionProblem('the connection was closed');
  });
}

/** Bytes that a connection must deliver within the stall timeout. */
function leastBytes({ stallTimeout }: Hub): number {
  return (SLOWEST * stallTimeout) / 1000;
}

/** Counts the bytes of each span of time. */
function watchSpeed(hub: Hub): (bytes: number) => void {
  let start = performance.now();
  let received = 0;
  return (bytes) => {
    received += bytes;
    const now = performance.now();
    if (now - start < hub.stallTimeout) return;
    if (received < leastBytes(hub)) {
      throw new ConnectionProblem(`only ${formatBytes(received)} in ${Math.round((now - start) / 1000)} s`);
    }
    [start, received] = [now, 0];
  };
}

/** Where an answer begins: some servers send the whole file whatever is asked for. */
function firstByte({ status, headers }: Response, location: HubLocation, from: number, size: number): number {
  const file = describeLocation(location);
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('Content-Range') ?? '');
  if (status === 206 && Number(range?.[1] ?? Number.NaN) !== from) {
    throw new HubError(`${file}: the server sends other bytes than it was asked for; try again later`);
  }
  const total = status === 206 ? range?.[2] : headers.get('Content-Length');
  if (total && total !== '*' && Number(total) !== size) {
    throw new HubError(
      `${file}: it has ${size} bytes by the hub's word, but the server has ${total}; try again later`,
    );
  }
  return status === 206 ? from : 0;
}

function diskProblem(file: string, missing: number, cause: NodeJS.ErrnoException): HubError {
  const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT';
  const problem = full ? `the disk is full, ${formatBytes(missing)} more are needed` : cause.message;
  return new HubError(
    `${file}: ${problem}; what is there is kept, and the same command goes on from there ` +
      '(HF_HOME is the folder of the cache)',
    { cause },
  );
}
