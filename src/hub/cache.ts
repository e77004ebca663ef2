/**
 * @file The cache on disk, in the layout of Python's `huggingface_hub`, so that both use each other's downloads:
 *
 * ```
 * models--owner--name/
 *   blobs/CHECKSUM                  the content of a file; CHECKSUM.incomplete while it is downloaded
 *   refs/main                       the commit that a branch or tag was last seen at
 *   snapshots/COMMIT/folder/file    a link to its blob
 * ```
 */

import { link, readFile, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { makeFolders, writeFileAtomically } from '../formats/atomic-write.ts';
import type { HubLocation } from './names.ts';

/** A commit's name in full. */
export const COMMIT = /^[0-9a-f]{40}$/;

export function repoFolder(cache: string, repo: string): string {
  return join(cache, `models--${repo.replaceAll('/', '--')}`);
}

/** Where a file of a commit is, or would be. */
export function snapshotPath(cache: string, { repo, path }: HubLocation, commit: string): string {
  return join(repoFolder(cache, repo), 'snapshots', commit, ...path.split('/'));
}

export function blobPath(cache: string, repo: string, checksum: string): string {
  return join(repoFolder(cache, repo), 'blobs', checksum);
}

/**
 * Where a file is without asking the hub: in the snapshot of the commit that its branch was last seen at. Without such
 * a commit the branch's own name serves, so that files can be put there by hand.
 */
export async function expectedPath(cache: string, location: HubLocation): Promise<string> {
  const ref = join(repoFolder(cache, location.repo), 'refs', ...location.revision.split('/'));
  const text = await readFile(ref, 'utf8').catch(() => '');
  const commit = COMMIT.test(text.trim()) ? text.trim() : location.revision.replaceAll('/', '--');
  return snapshotPath(cache, location, commit);
}

/** Remember the commit of a branch or tag. */
export async function rememberCommit(
  cache: string,
  { repo, revision }: HubLocation,
  commit: string,
): Promise<void> {
  if (revision === commit) return;
  const ref = join(repoFolder(cache, repo), 'refs', ...revision.split('/'));
  if ((await readFile(ref, 'utf8').catch(() => undefined)) === commit) return;
  await makeFolders(dirname(ref));
  await writeFileAtomically(ref, (write) => write(Buffer.from(commit)));
}

/** Is there a file of this size? */
export async function isWhole(path: string, size: number): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isFile() === true && stats.size === size;
}

/** Make a snapshot's file from a blob: a relative link, so that the cache can be moved. */
export async function linkSnapshot(blob: string, path: string): Promise<void> {
  await makeFolders(dirname(path));
  await rm(path, { force: true });
  try {
    await symlink(relative(dirname(path), blob), path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return; // another process was faster
    await link(blob, path); // Windows lets not everybody make symbolic links
  }
}
