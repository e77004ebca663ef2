/** @file What is finished of a tuning: a file next to its solver, replaced as a whole after each part of the work. */

import { readFile, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { attempt } from '../attempt.ts';
import { companionFile, removeTemporaries, writeTextAtomically } from '../io/atomic-write.ts';
import type { Lock } from '../io/lock.ts';
import { EMPTY_FIT_STATE, type FitState, fitStateSchema } from '../tuning/fit-solvers.ts';
import { type GuidanceTrial, trialSchema } from './tune-guidance.ts';

const schema = z.object({ origin: z.unknown(), state: fitStateSchema, trials: z.array(trialSchema) });

/** The journal of a tuning. */
export interface TuningJournal {
  /** What an earlier run with the same settings has finished. */
  readonly state: FitState;
  readonly trials: readonly GuidanceTrial[];
  save(state: FitState): Promise<void>;
  saveTrials(trials: readonly GuidanceTrial[]): Promise<void>;
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
  let { state, trials }: Pick<TuningJournal, 'state' | 'trials'> = isSame
    ? data
    : { state: EMPTY_FIT_STATE, trials: [] };
  async function write(): Promise<void> {
    await lock.requireHeld();
    await writeTextAtomically(path, JSON.stringify({ origin, state, trials }));
  }
  return {
    state,
    trials,
    save(next) {
      state = next;
      return write();
    },
    saveTrials(next) {
      trials = next;
      return write();
    },
    remove: () => rm(path, { force: true }),
  };
}
