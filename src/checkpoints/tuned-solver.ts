/** @file Where a model's tuned solver is kept, and reading it (Node only). */

import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { cacheFolder, modelFingerprint } from './model-fingerprint.ts';
import { parseSolver, requireModel, SOLVER_FILE, type SolverFile } from './solver-file.ts';
import { CONFIG_FILE, type StoredModel } from './stored-model.ts';

/** A commit's folder in the cache of the Hugging Face Hub, which other programs share. */
const SNAPSHOT = /[/\\]models--[^/\\]+[/\\]snapshots[/\\]/;

/**
 * Returns the path of a model's solver: in its folder, or for models without a folder of their own, such as a `.pt` or a
 * model of the Hugging Face Hub, in acdit's cache.
 * @param model path of the model
 */
export async function solverPath(model: string, fingerprint: string): Promise<string> {
  return (await pathInFolder(model)) ?? cachedPath(fingerprint);
}

/** Returns the path in the model's folder; undefined if it has none of its own. */
async function pathInFolder(model: string): Promise<string | undefined> {
  const isFolder = (await stat(model).catch(() => undefined))?.isDirectory() === true;
  const folder = isFolder ? model : dirname(model);
  const holdsModel = await stat(join(folder, CONFIG_FILE)).catch(() => undefined);
  const isOwn = holdsModel && !/\.(pt|pth|bin)$/i.test(model) && !SNAPSHOT.test(resolve(folder));
  return isOwn ? join(folder, SOLVER_FILE) : undefined;
}

function cachedPath(fingerprint: string): string {
  return join(cacheFolder('solvers'), fingerprint, SOLVER_FILE);
}

/**
 * Reads the solver that was fitted to a model; none if there is none, or if it is damaged or another model's, such as one of
 * the weights that a training replaced.
 */
export async function findTunedSolver(
  { tunedSolver }: StoredModel,
  signal?: AbortSignal,
): Promise<SolverFile | undefined> {
  return tunedSolver?.(signal).catch((error) => {
    if (error instanceof CheckpointError) return undefined;
    throw error;
  });
}

async function storedSolver(
  path: string,
  model: StoredModel,
  signal?: AbortSignal,
): Promise<SolverFile | undefined> {
  const own = await readInFolder(path);
  const hasCache = await stat(cacheFolder('solvers')).catch(() => undefined);
  if (!own && !hasCache) return undefined;
  const fingerprint = await modelFingerprint(model, signal);
  if (own) return checkedSolver(own.text, own.file, fingerprint, model);
  const cached = cachedPath(fingerprint);
  const kept = await readFile(cached, 'utf8').catch(absent);
  return kept === undefined ? undefined : checkedSolver(kept, cached, fingerprint, model);
}

/**
 * Reads the solver in a model's folder, to describe it; none if there is none. Reads no weights, so it may be the solver of
 * other ones, which sampling would refuse.
 * @throws {CheckpointError} if it is damaged
 */
export async function describedSolver(path: string, config: AcditConfig): Promise<SolverFile | undefined> {
  const own = await readInFolder(path);
  return own && parseSolver(own.text, own.file, config);
}

/** Reads the file in the model's folder; undefined if there is none. */
async function readInFolder(path: string): Promise<{ file: string; text: string } | undefined> {
  const file = await pathInFolder(path);
  const text = file && (await readFile(file, 'utf8').catch(absent));
  return file === undefined || text === undefined ? undefined : { file, text };
}

function checkedSolver(text: string, file: string, fingerprint: string, { config }: StoredModel): SolverFile {
  const solver = parseSolver(text, file, config);
  requireModel(solver, fingerprint, file);
  return solver;
}

/**
 * Reads the solver that was fitted to a model, where it is asked for.
 * @throws {CheckpointError} if there is none, it is damaged, or was made for another model
 */
export async function readTunedSolver(
  path: string,
  model: StoredModel,
  signal?: AbortSignal,
): Promise<SolverFile> {
  const found = await storedSolver(path, model, signal);
  if (found) return found;
  throw new CheckpointError(
    `${path}: there is no tuned solver for this model; make one with acdit tune ${printable(path)}`,
  );
}

/** @throws {CheckpointError} if a file is there but cannot be read */
function absent(cause: NodeJS.ErrnoException): undefined {
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
  throw new CheckpointError(`${cause.path ?? SOLVER_FILE}: cannot be read (${cause.code})`, { cause });
}
