/**
 * @file Checks that files of the cache match their checksums. Reading gigabytes takes seconds, so a
 * note records which file was checked. It is kept outside the cache, which others may be able to write to.
 */

import type { BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { openBlob } from './cache.ts';
import { hasChecksum } from './checksum.ts';
import type { Hub } from './connection.ts';

/** @throws {HubError} if the file is a link or not a regular file */
export async function isGenuine(hub: Hub, path: string, checksum: string, name: string): Promise<boolean> {
  const file = await openBlob(path, 'read');
  try {
    const stats = await file.stat({ bigint: true });
    if (await isNoted(hub, checksum, stats)) return true;
    const size = Number(stats.size);
    const onProgress = (done: number): void => hub.emit({ kind: 'verify', file: name, done, size });
    if (!(await hasChecksum(file, size, checksum, { signal: hub.signal, onProgress }))) return false;
    await note(hub, checksum, stats);
    return true;
  } finally {
    await file.close();
  }
}

/** Remember that a file was just checked. */
export async function noteGenuine(hub: Hub, path: string, checksum: string): Promise<void> {
  const file = await openBlob(path, 'read');
  try {
    await note(hub, checksum, await file.stat({ bigint: true }));
  } finally {
    await file.close();
  }
}

/** A file's content cannot change without the time of its last change. */
function identity({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

async function isNoted({ settings }: Hub, checksum: string, stats: BigIntStats): Promise<boolean> {
  const text = await readFile(join(settings.checked, checksum), 'utf8').catch(() => undefined);
  return text === identity(stats);
}

/** Without a note, the file is read again the next time. */
async function note({ settings }: Hub, checksum: string, stats: BigIntStats): Promise<void> {
  const write = async (): Promise<void> => {
    await makeFolders(settings.checked);
    await writeFileAtomically(join(settings.checked, checksum), (write) =>
      write(Buffer.from(identity(stats))),
    );
  };
  await write().catch(() => undefined);
}
