/** @file A file of the hub as a file on this machine: from the cache, or downloaded into it. */

import { type FileHandle, lstat, rename, rm } from 'node:fs/promises';
import { basename, dirname, sep } from 'node:path';
import { AcditError, HubError } from '../errors.ts';
import { makeFolders } from '../io/atomic-write.ts';
import { isFile } from '../io/file-source.ts';
import { missingSpace } from '../io/free-space.ts';
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
import { CHECKSUM, hasChecksum } from './checksum.ts';
import { type Hub, openHub } from './connection.ts';
import type { HubOptions } from './events.ts';
import { type FileInfo, lookUp } from './file-info.ts';
import { isGenuine, noteGenuine } from './genuine.ts';
import { describeLocation, type HubLocation, requireLocation } from './names.ts';
import { missingFile } from './refusals.ts';
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
 * @throws {HubError} if it cannot be had.
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
  throw new HubError(
    `${describeLocation(place)}: ${outcome.reason}, and it is not in the cache; put the file at ${outcome.expected}`,
  );
}

/** @throws {HubError} for all that `Outcome` does not tell */
export async function ensureFile(hub: Hub, location: HubLocation): Promise<Outcome> {
  requireLocation(location);
  const { cache, offline } = hub.settings;
  // A commit never changes.
  const known = COMMIT.test(location.revision) ? snapshotPath(cache, location, location.revision) : undefined;
  if (known !== undefined && (await isUsable(hub, location, known))) return cachedAt(hub, location, known);
  const answer = offline
    ? ({ kind: 'unreachable', reason: 'HF_HUB_OFFLINE is set' } as const)
    : await lookUp(hub, location);
  if (answer.kind === 'missing') return answer;
  if (answer.kind === 'unreachable') return cachedFile(hub, location, answer.reason);
  const { info } = answer;
  const path = await ensureSnapshot(hub, location, info);
  return { kind: 'found', path, commit: info.commit };
}

async function cachedFile(hub: Hub, location: HubLocation, reason: string): Promise<Outcome> {
  const path = await expectedPath(hub.settings.cache, location);
  if (!(await isUsable(hub, location, path))) return { kind: 'absent', reason, expected: path };
  if (!hub.settings.offline) hub.emit({ kind: 'unreachable', file: describeLocation(location), reason });
  return cachedAt(hub, location, path);
}

/**
 * Checks whether a file of a snapshot can be used without asking the hub: a link's blob must have the content that its
 * name promises. A file that was put there by hand has no checksum, and a snapshot without a commit may hold any link.
 */
async function isUsable(hub: Hub, location: HubLocation, path: string): Promise<boolean> {
  if (!(await isFile(path))) return false;
  const stats = await lstat(path);
  const isHandMade = !COMMIT.test(commitOf(location, path));
  if (!stats.isSymbolicLink() || isHandMade) return true;
  const blob = await linkedBlob(hub.settings.cache, location.repo, path);
  if (blob !== undefined && (await hasContent(hub, location, blob, basename(blob)))) return true;
  if (blob === undefined) hub.emit({ kind: 'damaged', file: describeLocation(location), path });
  return false;
}

/** Returns the folder of the snapshot that a file is in. */
function commitOf({ path: inside }: HubLocation, path: string): string {
  return path.split(sep).at(-1 - inside.split('/').length) ?? '';
}

/** Checks whether a file has this checksum. If not, it is useless; the hub's copy will replace it. */
async function hasContent(hub: Hub, location: HubLocation, path: string, checksum: string): Promise<boolean> {
  const file = describeLocation(location);
  if (CHECKSUM.test(checksum) && (await isGenuine(hub, path, checksum, file))) return true;
  hub.emit({ kind: 'damaged', file, path });
  return false;
}

function cachedAt(hub: Hub, location: HubLocation, path: string): Outcome {
  hub.emit({ kind: 'cached', file: describeLocation(location), path });
  return { kind: 'found', path };
}

async function ensureSnapshot(hub: Hub, location: HubLocation, info: FileInfo): Promise<string> {
  const { cache } = hub.settings;
  const file = describeLocation(location);
  const path = snapshotPath(cache, location, info.commit);
  const present = await isPresent(hub, location, info, path);
  try {
    if (present) await removeAbandonedLock(lockFile(blobPath(cache, location.repo, info.checksum)));
    else await makeSnapshot(hub, location, info, path);
    await rememberCommit(cache, location, info.commit).catch((error) => {
      if (!present) throw error; // a cache that others share may be read-only
    });
  } catch (cause) {
    const { syscall, message } = cause as NodeJS.ErrnoException;
    const isOfFiles = syscall !== undefined || (cause instanceof AcditError && !(cause instanceof HubError));
    if (!isOfFiles) throw cause;
    throw new HubError(
      `${file}: cannot write into the cache ${repoFolder(cache, location.repo)} (${message}); ` +
        'set HF_HOME to a folder that can be written to',
      { cause },
    );
  }
  hub.emit({ kind: present ? 'cached' : 'done', file, path });
  return path;
}

/** Checks whether a snapshot holds the file, with the right content. */
async function isPresent(
  hub: Hub,
  location: HubLocation,
  { checksum, size }: FileInfo,
  path: string,
): Promise<boolean> {
  const file = await snapshotFile(path, blobPath(hub.settings.cache, location.repo, checksum));
  return (
    file !== undefined && (await hasSize(file, size)) && (await hasContent(hub, location, file, checksum))
  );
}

function lockFile(blob: string): string {
  return `${blob}.acdit-lock`;
}

/** One process downloads the blob and places it; others wait, and find it there. */
async function makeSnapshot(hub: Hub, location: HubLocation, info: FileInfo, path: string): Promise<void> {
  const { cache } = hub.settings;
  const { checksum, size } = info;
  const blob = blobPath(cache, location.repo, checksum);
  await makeFolders(dirname(blob));
  const lock = await takeLock(lockFile(blob), {
    signal: hub.signal,
    onWait: () => hub.emit({ kind: 'waiting', file: describeLocation(location) }),
  });
  try {
    if (await isPresent(hub, location, info, path)) return;
    const isNew = !(await hasSize(blob, size)) || !(await hasContent(hub, location, blob, checksum));
    if (isNew) await downloadBlob(hub, location, info, blob);
    await placeSnapshot(cache, location, blob, path, { isNew });
    const placed = await snapshotFile(path, blob);
    if (isNew && placed !== undefined) await noteGenuine(hub, placed, checksum);
  } finally {
    await lock.release();
  }
}

/** Download under another name, check, rename. */
async function downloadBlob(hub: Hub, location: HubLocation, info: FileInfo, blob: string): Promise<void> {
  const incomplete = `${blob}.incomplete`;
  const target = await openBlob(incomplete, 'write');
  try {
    const start = await resumePoint(target, info);
    await requireSpace(dirname(blob), info.size - start, location);
    hub.emit({ kind: 'start', file: describeLocation(location), done: start, size: info.size });
    await transfer(hub, location, info, target, start);
    await target.sync();
    await verify(hub, location, info, target, incomplete);
  } finally {
    await target.close();
  }
  await rename(incomplete, blob);
}

/** How much of the file is there already. */
async function resumePoint(target: FileHandle, { size }: FileInfo): Promise<number> {
  const { size: present } = await target.stat();
  if (present <= size) return present;
  await target.truncate(0); // whatever it is, it is not this file
  return 0;
}

/** Refuses a download that cannot fit on the disk. */
async function requireSpace(folder: string, needed: number, location: HubLocation): Promise<void> {
  const missing = await missingSpace(folder, needed);
  if (missing === undefined) return;
  throw new HubError(
    `${describeLocation(location)}: ${missing}; free some space, or set HF_HOME to a folder on another disk`,
  );
}

async function verify(
  hub: Hub,
  location: HubLocation,
  { checksum, size }: FileInfo,
  target: FileHandle,
  incomplete: string,
): Promise<void> {
  const file = describeLocation(location);
  const onProgress = (done: number): void => hub.emit({ kind: 'verify', file, done, size });
  if (await hasChecksum(target, size, checksum, { signal: hub.signal, onProgress })) return;
  await rm(incomplete, { force: true });
  throw new HubError(
    `${file}: the download is damaged: its checksum is not ${checksum}; it is deleted, and the same command begins again`,
  );
}
