/** @file A build checked against golden numbers of the official code, check by check. */

import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import type { Check, GoldenNumbers } from './check.ts';
import { checkSampling } from './sampling-checks.ts';
import { checkTables } from './tables.ts';
import { checkTraining } from './training-checks.ts';

/** What is verified, and against what. */
export interface VerificationOptions {
  readonly config: AcditConfig;
  /** Left as they are. */
  readonly weights: Weights;
  readonly golden: GoldenNumbers;
  readonly device: Device;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compute everything that `golden` has and compare: tables, sampling, prediction, loss, gradients, optimizer
 * steps. Each check is given when it is done.
 * @throws {FormatError} if the golden numbers are of another model; the signal's reason once it is aborted.
 */
export async function* verifyModel(options: VerificationOptions): AsyncGenerator<Check, void, void> {
  yield* checkTables(options.config, options.golden);
  yield* checkTraining(options);
  yield* checkSampling(options);
}

/** Names of arrays that are checked, among those of a file: the rest are inputs. */
export function checkedNames(names: readonly string[]): string[] {
  const checked =
    /^(position_ids|rope\.(cos|sin)|scam\.mask|train\.(noised|prediction|loss|grad_norm|step[12]\.loss|grad\..+|after3\..+)|sample\.(timesteps|latents|block\d+\.(first|last)\.eps))$/;
  return names.filter((name) => checked.test(name));
}
