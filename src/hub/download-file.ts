/** @file A file of the hub as a file on this machine: from the cache, or downloaded into it. */

import { type FileHandle, lstat, rename, rm } from 'node:fs/promises';
import { basename, dirname, sep } from 'node:path';
import { AcditError, HubError } from '../errors.ts';
import { flushFile, makeFolders } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { isFile, missingSpace } from '../io/file-source.ts';
import { removeAbandonedLock, takeLock } from '../io/lock.ts';
import {
  blobPath,
  COMMIT,
  expectedPath,
  hasSize,
  linkedBlob,
  openBlob,
  placeSnapshot,
  rememberCommit,
  repoFolder,
  snapshotFile,
  snapshotPath,
} from './cache.ts';
import { CHECKSUM, hasChecksum, isGenuine, noteGenuine } from './checksum.ts';
import { type Hub, HubFile, openHub } from './connection.ts';
import type { HubOptions } from './events.ts';
import { type FileInfo, lookUp } from './file-info.ts';
import { missingFile } from './listing.ts';
import { type HubLocation, requireLocation } from './names.ts';
import { transfer } from './transfer.ts';

/** What became of a file that was asked for. */
export type Outcome =
  /** @property commit of the hub's answer, if it was asked */
  | { readonly kind: 'found'; readonly path: string; readonly commit?: string }
  /** The hub has no such file. */
  | { readonly kind: 'missing' }
  /** It is not in the cache, and the hub cannot be asked. */
  | { readonly kind: 'absent'; readonly reason: string; readonly expected: string };

/**
 * Fetches a file of the hub. It is downloaded if the cache does not hold its current version, resuming where an
 * earlier download was interrupted, and checked against the hub's checksum. If the hub cannot be reached, what the
 * cache holds is used.
 * @param location `revision` is a branch, a tag or a commit.
 * @returns the path in the cache's `snapshots`
 * @throws {HubError} if it is unavailable.
 */
export async function downloadFile(
  location: Omit<HubLocation, 'revision'> & Partial<HubLocation>,
  options: HubOptions = {},
): Promise<string> {
  const hub = await openHub(options);
  const place = { revision: 'main', ...location };
  const outcome = await ensureFile(hub, place);
  if (outcome.kind === 'found') return outcome.path;
  if (outcome.kind === 'missing') throw await missingFile(hub, place);
  throw new HubFile(hub, place).error(
    `${outcome.reason}, and it is not in the cache; put the file at ${outcome.expected}`,
  );
}

/** @throws {HubError} for all that `Outcome` does not cover */
export async function ensureFile(hub: Hub, location: HubLocation): Promise<Outcome> {
  requireLocation(location);
  const file = new HubFile(hub, location);
  const { revision } = location;
  // A commit never changes.
  const known = COMMIT.test(revision) ? snapshotPath(file, revision) : undefined;
  if (known !== undefined && (await isUsable(file, known))) return cachedAt(file, known);
  const answer = hub.settings.offline
    ? ({ kind: 'unreachable', reason: 'HF_HUB_OFFLINE is set' } as const)
    : await lookUp(file);
  if (answer.kind === 'missing') return answer;
  if (answer.kind === 'unreachable') return cachedFile(file, answer.reason);
  const { info } = answer;
  return { kind: 'found', path: await ensureSnapshot(file, info), commit: info.commit };
}

async function cachedFile(file: HubFile, reason: string): Promise<Outcome> {
  const path = await expectedPath(file);
  if (!(await isUsable(file, path))) return { kind: 'absent', reason, expected: path };
  if (!file.hub.settings.offline) file.emit({ kind: 'unreachable', reason });
  return cachedAt(file, path);
}

/**
 * Checks whether a file of a snapshot can be used without asking the hub: a link's blob must have the content that its
 * name promises. A file that was put there by hand has no checksum, and a snapshot without a commit may hold any link.
 */
async function isUsable(file: HubFile, path: string): Promise<boolean> {
  if (!(await isFile(path))) return false;
  const stats = await lstat(path);
  const commit = path.split(sep).at(-1 - file.location.path.split('/').length) ?? '';
  const isHandMade = !COMMIT.test(commit);
  if (!stats.isSymbolicLink() || isHandMade) return true;
  const blob = await linkedBlob(file, path);
  if (blob !== undefined && (await hasContent(file, blob, basename(blob)))) return true;
  if (blob === undefined) file.emit({ kind: 'damaged', path });
  return false;
}

/** Checks whether a file has this checksum. If not, it is useless; the hub's copy will replace it. */
async function hasContent(file: HubFile, path: string, checksum: string): Promise<boolean> {
  if (CHECKSUM.test(checksum) && (await isGenuine(file, path, checksum))) return true;
  file.emit({ kind: 'damaged', path });
  return false;
}

function cachedAt(file: HubFile, path: string): Outcome {
  file.emit({ kind: 'cached', path });
  return { kind: 'found', path };
}

async function ensureSnapshot(file: HubFile, info: FileInfo): Promise<string> {
  const path = snapshotPath(file, info.commit);
  const blob = blobPath(file, info.checksum);
  const present = await isPresent(file, info, path, blob);
  try {
    if (present) await removeAbandonedLock(lockFile(blob));
    else await makeSnapshot(file, info, path, blob);
    await rememberCommit(file, info.commit).catch((error) => {
      if (!present) throw error; // a cache that others share may be read-only
    });
  } catch (cause) {
    const { syscall, message } = cause as NodeJS.ErrnoException;
    const isOfFiles = syscall !== undefined || (cause instanceof AcditError && !(cause instanceof HubError));
    if (!isOfFiles) throw cause;
    throw file.error(
      `cannot write into the cache ${repoFolder(file)} (${message}); ` +
        'set HF_HOME to a folder that can be written to',
      { cause },
    );
  }
  file.emit({ kind: present ? 'cached' : 'done', path });
  return path;
}

/** Checks whether a snapshot holds the file, with the right content. */
async function isPresent(file: HubFile, info: FileInfo, path: string, blob: string): Promise<boolean> {
  const present = await snapshotFile(path, blob);
  return present !== undefined && isWhole(file, info, present);
}

async function isWhole(file: HubFile, { checksum, size }: FileInfo, path: string): Promise<boolean> {
  return (await hasSize(path, size)) && hasContent(file, path, checksum);
}

function lockFile(blob: string): string {
  return `${blob}.acdit-lock`;
}

/** One process downloads the blob and places it; others wait, and find it there. */
async function makeSnapshot(file: HubFile, info: FileInfo, path: string, blob: string): Promise<void> {
  await makeFolders(dirname(blob));
  const lock = await takeLock(lockFile(blob), {
    signal: file.hub.signal,
    onWait: () => file.emit({ kind: 'waiting' }),
  });
  await closingAfter(lock, async () => {
    if (await isPresent(file, info, path, blob)) return;
    const isNew = !(await isWhole(file, info, blob));
    if (isNew) await downloadBlob(file, info, blob);
    await placeSnapshot(file, blob, path, { isNew });
    const placed = await snapshotFile(path, blob);
    if (isNew && placed !== undefined) await noteGenuine(file.hub, placed, info.checksum);
  });
}

/** Download under another name, check, rename. */
async function downloadBlob(file: HubFile, info: FileInfo, blob: string): Promise<void> {
  const { checksum, size } = info;
  const incomplete = `${blob}.incomplete`;
  await closingAfter(await openBlob(incomplete, 'write'), async (target) => {
    const start = await resumePoint(target, size);
    await requireSpace(file, dirname(blob), size - start);
    file.emit({ kind: 'start', done: start, size });
    await transfer(file, info, target, start);
    await flushFile(target);
    if (!(await hasChecksum(file, target, size, checksum))) {
      await rm(incomplete, { force: true });
      throw file.error(
        `the download is damaged: its checksum is not ${checksum}; it is deleted, and the same command begins again`,
      );
    }
  });
  await rename(incomplete, blob);
}

/** How much of the file is there already. */
async function resumePoint(target: FileHandle, size: number): Promise<number> {
  const { size: present } = await target.stat();
  if (present <= size) return present;
  await target.truncate(0); // too long to be part of this file
  return 0;
}

/** Refuses a download that cannot fit on the disk. */
async function requireSpace(file: HubFile, folder: string, needed: number): Promise<void> {
  const missing = await missingSpace(folder, needed);
  if (missing === undefined) return;
  throw file.error(`${missing}; free some space, or set HF_HOME to a folder on another disk`);
}
