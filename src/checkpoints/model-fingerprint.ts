/**
 * @file Identifies a model, independent of the file that holds it (Node only). This reads all weights, so a note in acdit's
 * cache records the fingerprint of the weights in a file that has not been written to since.
 */

import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeFolders, writeTextAtomically } from '../io/atomic-write.ts';
import { parameters } from '../models/acdit/weights.ts';
import { FINGERPRINT_LENGTH, fingerprintParts } from './fingerprint-parts.ts';
import type { StoredModel } from './stored-model.ts';

/** Milliseconds within which two changes of a file may get the same time. */
const SAME_TIME = 2000;
/** Changes with what a note says. */
const NOTE_VERSION = 1;
const FINGERPRINT = new RegExp(`^[0-9a-f]{${FINGERPRINT_LENGTH}}$`);

/**
 * Hash of a model's sizes and of its weights as float32: the same for a model folder and an official checkpoint with the
 * same numbers. Names of classes and the like do not count. Reads all weights, unless they are in a safetensors file that
 * was read for this before.
 */
export async function modelFingerprint(model: StoredModel, signal?: AbortSignal): Promise<string> {
  const note = noteOf(model);
  const noted = note && (await readFile(note.path, 'utf8').catch(() => undefined));
  if (note && noted !== undefined && FINGERPRINT.test(noted)) {
    const now = new Date();
    await utimes(note.path, now, now).catch(() => {}); // the notes used last are kept
    return noted;
  }
  const hash = createHash('sha256');
  for await (const part of fingerprintParts(model, signal)) hash.update(part);
  const fingerprint = hash.digest('hex').slice(0, FINGERPRINT_LENGTH);
  if (note?.lasts) await write(note.path, fingerprint).catch(() => {}); // then they are read again the next time
  return fingerprint;
}

/**
 * Returns where the fingerprint is noted: under a hash of where each weight is, and of the state of these files. Their
 * contents cannot change without the time of their last change.
 * @returns `lasts`, whether a change from now on cannot get the same time as the latest; undefined if it is unknown where
 * the weights are
 */
function noteOf({ config, archive, precision }: StoredModel): { path: string; lasts: boolean } | undefined {
  if (precision === 'int8') return undefined; // a weight has its scales in another place
  const hash = createHash('sha256').update(JSON.stringify([NOTE_VERSION, config]));
  let latest = Number.NEGATIVE_INFINITY;
  for (const name of parameters(config).keys()) {
    const place = archive.placeOf?.(name);
    if (!place) return undefined;
    const { file, offset } = place;
    latest = Math.max(latest, file.changed);
    hash.update(JSON.stringify([name, archive.info(name), file.identity, file.changed, offset]));
  }
  return {
    path: join(cacheFolder('fingerprints'), hash.digest('hex')),
    lasts: Date.now() - latest > SAME_TIME,
  };
}

async function write(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  await makeFolders(folder);
  await writeTextAtomically(path, text);
  await removeOldNotes(folder);
}

/** Max notes in the cache. */
const MAX_NOTES = 256;
/** The name of a note; other files, such as one that another process is writing, are not touched. */
const NOTE_NAME = /^[0-9a-f]{64}$/;

/**
 * Removes the notes that were used longest ago. Another process may do the same at the same time, and one whose note is
 * removed reads the weights again.
 */
async function removeOldNotes(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => NOTE_NAME.test(name));
  if (names.length <= MAX_NOTES) return;
  const notes = names.map(async (name) => {
    const path = join(folder, name);
    const used = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    );
    return used === undefined ? [] : [{ path, used }];
  });
  const newestFirst = (await Promise.all(notes)).flat().sort((a, b) => b.used - a.used);
  await Promise.all(newestFirst.slice(MAX_NOTES).map(({ path }) => rm(path, { force: true })));
}

/** Returns a folder of acdit's own cache. */
export function cacheFolder(name: string): string {
  const cache = process.env.XDG_CACHE_HOME?.trim() || join(homedir(), '.cache');
  return join(cache, 'acdit', name);
}
