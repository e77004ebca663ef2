/**
 * @file The cache on disk, in the layout of Python's `huggingface_hub`, so that both use each other's downloads:
 *
 * ```
 * models--owner--name/
 *   blobs/CHECKSUM                  the content of a file; CHECKSUM.incomplete while it is downloaded
 *   refs/main                       the commit that a branch or tag was last seen at
 *   snapshots/COMMIT/folder/file    a link to its blob, or the file itself where links cannot be made
 * ```
 *
 * Others may be able to write there, so only links that this package could have made are followed.
 */

import { constants } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  link,
  lstat,
  open,
  realpath,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { HubError } from '../errors.ts';
import { makeFolders, writeTextAtomically } from '../io/atomic-write.ts';
import type { HubFile } from './connection.ts';

/** A commit's name in full. */
export const COMMIT = /^[0-9a-f]{40}$/;

/** Windows has no such flag, and ordinary users cannot make links there. */
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;

export function repoFolder({ hub, location }: HubFile): string {
  return join(hub.settings.cache, `models--${location.repo.replaceAll('/', '--')}`);
}

/** Where a file of a commit is, or would be. */
export function snapshotPath(file: HubFile, commit: string): string {
  return join(repoFolder(file), 'snapshots', commit, ...file.location.path.split('/'));
}

export function blobPath(file: HubFile, checksum: string): string {
  return join(repoFolder(file), 'blobs', checksum);
}

/**
 * Where a file is without asking the hub: in the snapshot of the commit that its branch was last seen at. Without such
 * a commit the branch's own name serves, so that files can be put there by hand.
 */
export async function expectedPath(file: HubFile): Promise<string> {
  const commit = (await readRef(refPath(file))) ?? file.location.revision.replaceAll('/', '--');
  return snapshotPath(file, commit);
}

function refPath(file: HubFile): string {
  return join(repoFolder(file), 'refs', ...file.location.revision.split('/'));
}

/** Returns the commit in a file of `refs`, if there is one. */
async function readRef(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
  try {
    const { buffer, bytesRead } = (await file?.read(Buffer.alloc(64), 0, 64, 0)) ?? { bytesRead: 0 };
    const text = buffer?.toString('latin1', 0, bytesRead).trim() ?? '';
    return COMMIT.test(text) ? text : undefined;
  } catch {
    return undefined; // a folder, for example
  } finally {
    await file?.close();
  }
}

/** Remember the commit of a branch or tag. */
export async function rememberCommit(file: HubFile, commit: string): Promise<void> {
  if (file.location.revision === commit) return;
  const ref = refPath(file);
  if ((await readRef(ref)) === commit) return;
  await makeInside(file, dirname(ref));
  if ((await lstat(ref).catch(() => undefined))?.isSymbolicLink()) await rm(ref, { force: true });
  await writeTextAtomically(ref, commit);
}

/** Make a folder inside a repository's folder. @throws {HubError} if a link on the way leads elsewhere */
async function makeInside(file: HubFile, folder: string): Promise<void> {
  const root = repoFolder(file);
  await makeFolders(root);
  const wanted = join(await realpath(root), relative(root, folder));
  // The nearest existing folder shows whether a link leads elsewhere, before anything is made through it.
  let present = folder;
  while (!(await lstat(present).catch(() => undefined))) present = dirname(present);
  const expected = join(wanted, relative(folder, present));
  if ((await realpath(present).catch(() => undefined)) !== expected) {
    throw new HubError(`${present} is a link that leads out of its folder in the cache; remove it`);
  }
  await makeFolders(folder);
}

/** Open a file of `blobs` to write or to read, unless it is a link or has a second name. */
export async function openBlob(path: string, mode: 'write' | 'read'): Promise<FileHandle> {
  const access = mode === 'write' ? constants.O_RDWR | constants.O_CREAT : constants.O_RDONLY;
  const problem = `${path} is a link or not a regular file; remove it`;
  const file = await open(path, access | O_NOFOLLOW | O_NONBLOCK, 0o666).catch((cause) => {
    throw cause.code === 'ELOOP' ? new HubError(problem, { cause }) : cause;
  });
  const stats = await file.stat();
  if (stats.isFile() && (mode === 'read' || stats.nlink === 1)) return file;
  await file.close();
  throw new HubError(problem);
}

/**
 * Finds the file that a snapshot's path stands for.
 * @returns undefined if there is none, or a link that leads elsewhere than to the blob
 */
export async function snapshotFile(path: string, blob: string): Promise<string | undefined> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isFile()) return path;
  if (!stats?.isSymbolicLink()) return undefined;
  const [target, wanted] = await Promise.all(
    [path, blob].map((name) => realpath(name).catch(() => undefined)),
  );
  return target !== undefined && target === wanted ? blob : undefined;
}

/** Finds the blob that a snapshot's link leads to; undefined if it leads out of the repository's `blobs`. */
export async function linkedBlob(file: HubFile, path: string): Promise<string | undefined> {
  const target = await realpath(path).catch(() => undefined);
  if (target === undefined) return undefined;
  const blob = blobPath(file, basename(target));
  return (await realpath(blob).catch(() => undefined)) === target ? blob : undefined;
}

/**
 * Make a snapshot's file from a blob: a relative link, so that the cache can be moved. Where neither such a link nor
 * another name for the file can be made, as on exFAT and some network drives, the file itself: as Python's library does,
 * a new blob is moved there, and one that others may use is copied.
 */
export async function placeSnapshot(
  file: HubFile,
  blob: string,
  path: string,
  { isNew }: { readonly isNew: boolean },
): Promise<void> {
  const folder = dirname(path);
  await makeInside(file, folder);
  await rm(path, { force: true });
  const makers = [
    () => symlink(relative(folder, blob), path),
    () => link(blob, path), // Windows lets not everybody make symbolic links
    () => (isNew ? rename(blob, path) : copyWhole(blob, path)),
  ];
  for (const [i, make] of makers.entries()) {
    try {
      return await make();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return; // another process was faster
      if (i === makers.length - 1) throw error;
    }
  }
}

/** Copy under another name, then rename, so that an incomplete copy never has the file's name. */
async function copyWhole(from: string, to: string): Promise<void> {
  const temporary = `${to}.${process.pid}.incomplete`;
  try {
    await copyFile(from, temporary);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Checks that there is a file of this size, and not a link. */
export async function hasSize(path: string, size: number): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isFile() === true && stats.size === size;
}
