/** @file Golden tables, which depend on the configuration only: positions, RoPE, and the mask. */

import { compilePlan, denseMask, skipCausal } from '../models/acdit/attention-plan.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { tokenPositions } from '../models/acdit/layout.ts';
import { ropeTables } from '../models/acdit/rope.ts';
import { type Check, check, type GoldenNumbers, TOLERANCE } from './check.ts';

/** Check the tables that are in `golden`. */
export async function* checkTables(config: AcditConfig, golden: GoldenNumbers): AsyncGenerator<Check> {
  const tables: Record<string, () => ArrayLike<number>> = {
    position_ids: () => tokenPositions(config).flatMap((axis) => [...axis]),
    'rope.cos': () => ropeTables(config).cos.data,
    'rope.sin': () => ropeTables(config).sin.data,
    'scam.mask': () => officialMask(config),
  };
  for (const [name, compute] of Object.entries(tables)) {
    if (golden.has(name)) yield check(name, compute(), await golden.read(name), TOLERANCE.table);
  }
}

/** (2TB, 2TB). The official sequence holds the last clean block too, which nothing attends. */
function officialMask({ blocks, blockSize }: AcditConfig): Uint8Array {
  return denseMask(compilePlan(2 * blocks, blockSize, skipCausal(blocks)));
}
