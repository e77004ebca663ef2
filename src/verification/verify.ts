/** @file A build checked against golden numbers of the official code, check by check. */

import { compilePlan, denseMask, skipCausal } from '../models/acdit/attention-plan.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { tokenPositions } from '../models/acdit/layout.ts';
import { ropeTables } from '../models/acdit/rope.ts';
import { type Check, compare, type GoldenNumbers, TOLERANCE, type VerificationOptions } from './check.ts';
import { checkSampling } from './sampling-checks.ts';
import { checkTraining } from './training-checks.ts';

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

/** Check the tables in `golden`, which depend on the configuration only: positions, RoPE, and the mask. */
async function* checkTables(config: AcditConfig, golden: GoldenNumbers): AsyncGenerator<Check> {
  const { blocks, blockSize } = config;
  const tables: Record<string, () => ArrayLike<number>> = {
    position_ids: () => tokenPositions(config).flatMap((axis) => [...axis]),
    'rope.cos': () => ropeTables(config).cos.data,
    'rope.sin': () => ropeTables(config).sin.data,
    // (2TB, 2TB). The official sequence holds the last clean block too, which nothing attends.
    'scam.mask': () => denseMask(compilePlan(2 * blocks, blockSize, skipCausal(blocks))),
  };
  for (const [name, compute] of Object.entries(tables)) {
    if (golden.has(name)) yield* compare(golden, name, compute(), TOLERANCE.table);
  }
}
