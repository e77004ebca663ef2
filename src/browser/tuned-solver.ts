/** @file The tuned solver of a model in a browser: from the file next to it. */

import { FINGERPRINT_LENGTH, fingerprintParts } from '../checkpoints/fingerprint-parts.ts';
import { parseSolver, requireModel, type SolverFile } from '../checkpoints/solver-file.ts';
import type { StoredModel } from '../checkpoints/stored-model.ts';

/**
 * Returns the model with the solver that a `solver.json` holds, which is read when it is asked for.
 * @param readText reads the text of the file
 * @param name of the file, for messages
 */
export function withTunedSolver(
  model: StoredModel,
  readText: () => Promise<string>,
  name: string,
): StoredModel {
  return {
    ...model,
    async tunedSolver(signal): Promise<SolverFile> {
      const solver = parseSolver(await readText(), name, model.config);
      requireModel(solver, await digestOf(model, signal), name);
      return solver;
    },
  };
}

/** Returns the fingerprint that `modelFingerprint` returns on Node. Holds all weights, since a page hashes bytes at once. */
async function digestOf(model: StoredModel, signal?: AbortSignal): Promise<string> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of fingerprintParts(model, signal)) parts.push(part.slice());
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await new Blob(parts).arrayBuffer()));
  const digits = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return digits.slice(0, FINGERPRINT_LENGTH);
}
