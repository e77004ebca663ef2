import { describe, expect, it } from 'vitest';
import { stableDiffusionAutoencoder } from '../../../test/support/formula-weights.ts';
import { decodingMemory } from './memory.ts';

/** Measured on Node, above a process without it: the middle of some processes, in MB. */
const MEASURED = [
  [128, 476],
  [256, 713],
  [512, 1195],
  [768, 1736],
] as const;

describe('the memory of decoding', () => {
  it.each(MEASURED)('of %s pixels is within 15%% of what was measured', (side, megabytes) => {
    const computed = decodingMemory(stableDiffusionAutoencoder, side / 8, side / 8) / 1e6;
    expect(computed / megabytes).toBeGreaterThan(0.85);
    expect(computed / megabytes).toBeLessThan(1.15);
  });
});
