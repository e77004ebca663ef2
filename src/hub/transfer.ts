/** @file The content of a file from the hub to the disk, over as many connections as it takes. */

import type { FileHandle } from 'node:fs/promises';
import type { HubError } from '../errors.ts';
import { writeAll } from '../io/atomic-write.ts';
import { formatBytes } from '../io/quantities.ts';
import { ConnectionProblem, connected, failure, type Hub, type HubFile } from './connection.ts';
import type { FileInfo } from './file-info.ts';

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
  file: HubFile,
  info: FileInfo,
  target: FileHandle,
  start: number,
): Promise<void> {
  const { size } = info;
  let done = start;
  let failures = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (done + bytes.length > size) {
      throw file.error(`the server sends more than its ${size} bytes; try again later`);
    }
    await writeAll(target, bytes, done).catch((cause) => {
      throw diskProblem(file, size - done, cause);
    });
    done += bytes.length;
    file.emit({ kind: 'progress', done, size });
  };
  while (done < size) {
    const before = done;
    try {
      await receive(file, info, done, write);
    } catch (error) {
      if (!(error instanceof ConnectionProblem)) throw error;
      failures = done - before < leastBytes(file.hub) ? failures + 1 : 1;
      if (failures < ATTEMPTS && (await file.waitAfter(error, failures))) continue;
      const times = failures > 1 ? `, ${failures} times in a row` : '';
      throw file.error(
        `${error.message}${times}; ${formatBytes(done)} of ${formatBytes(size)} are kept, and the same command resumes ` +
          'from there',
        { cause: error },
      );
    }
  }
}

/** One request. @throws {ConnectionProblem} if it ends before the file does. */
function receive(
  file: HubFile,
  { commit, size }: FileInfo,
  from: number,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const { hub } = file;
  return connected(hub, async (signal, alive) => {
    // By its commit, what is asked for cannot change between two requests.
    const response = await hub.fetch(file.url(commit), {
      headers: { 'Accept-Encoding': 'identity', ...(from > 0 && { Range: `bytes=${from}-` }) },
      signal,
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw failure(file, response);
    }
    let skip = from - firstByte(response, file, from, size);
    let left = size - from;
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

/** Where an answer begins: some servers send the whole file for any range. */
function firstByte({ status, headers }: Response, file: HubFile, from: number, size: number): number {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('Content-Range') ?? '');
  if (status === 206 && Number(range?.[1] ?? Number.NaN) !== from) {
    throw file.error(`the server sends other bytes than it was asked for; try again later`);
  }
  const total = status === 206 ? range?.[2] : headers.get('Content-Length');
  if (total && total !== '*' && Number(total) !== size) {
    throw file.error(`it has ${size} bytes by the hub's word, but the server has ${total}; try again later`);
  }
  return status === 206 ? from : 0;
}

function diskProblem(file: HubFile, missing: number, cause: NodeJS.ErrnoException): HubError {
  const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT';
  const problem = full ? `the disk is full, ${formatBytes(missing)} more are needed` : cause.message;
  return file.error(
    `${problem}; what is there is kept, and the same command resumes from there ` +
      '(HF_HOME is the folder of the cache)',
    { cause },
  );
}
