/** @file What is finished of a tuning: a file next to its solver, replaced as a whole after each part of the work. */

import { readFile, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { attempt } from '../attempt.ts';
import { companionFile, removeTemporaries, writeFileAtomically } from '../io/atomic-write.ts';
import type { Lock } from '../io/lock.ts';
import { EMPTY_FIT_STATE, type FitState, fitStateSchema } from '../tuning/fit-solvers.ts';

const schema = z.object({ origin: z.unknown(), state: fitStateSchema });

/** The journal of a tuning. */
export interface TuningJournal {
  /** What an earlier run with the same settings has finished. */
  readonly state: FitState;
  save(state: FitState): Promise<void>;
  /** Removes it, once the solver is written. */
  remove(): Promise<void>;
}

/**
 * Opens the journal of a tuning. One of other settings, or a damaged one, counts as none.
 * @param solver path of the solver that the tuning makes.
 * @param origin everything that determines the solver.
 */
export async function openJournal(solver: string, origin: object, lock: Lock): Promise<TuningJournal> {
  const path = companionFile(solver, '.partial');
  await removeTemporaries(dirname(solver), (name) => [solver, path].some((own) => basename(own) === name));
  const text = await readFile(path, 'utf8').catch(() => '');
  const { data } = schema.safeParse(attempt(() => JSON.parse(text), undefined));
  const isSame = data && isDeepStrictEqual(data.origin, JSON.parse(JSON.stringify(origin)));
  return {
    state: isSame ? data.state : EMPTY_FIT_STATE,
    async save(state) {
      await lock.requireHeld();
      const bytes = new TextEncoder().encode(JSON.stringify({ origin, state }));
      await writeFileAtomically(path, (write) => write(bytes));
    },
    remove: () => rm(path, { force: true }),
  };
}
