/** @file Communication between ranks, compared with loops, with every MPI library of this machine. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { launchers, runRanks } from '../support/ranks.ts';

const PROGRAM = fileURLToPath(new URL('../support/ranks-communicator.mjs', import.meta.url));

function reports(stdout: string): { rank: number; size: number; library: string; differences: string[] }[] {
  const lines = stdout.trim().split('\n');
  return lines.map((line) => JSON.parse(line)).sort((a, b) => a.rank - b.rank);
}

describe('a communicator', { tags: ['slow'], timeout: 300_000 }, () => {
  it('of one process needs no library', () => {
    const { stdout } = spawnSync(process.execPath, [PROGRAM], { encoding: 'utf8' });
    expect(reports(stdout)).toEqual([{ rank: 0, size: 1, library: '', differences: [] }]);
  });

  for (const launcher of launchers) {
    it.each([2, 3])(
      `sums in order and moves arrays of any size between %i ranks (${launcher.name})`,
      async (count) => {
        const { stdout, stderr } = await runRanks(launcher, count, [PROGRAM]);
        const expected = Array.from({ length: count }, (_, rank) => ({
          rank,
          size: count,
          library: expect.stringContaining(launcher.name),
          differences: [],
        }));
        expect(stderr).toBe('');
        expect(reports(stdout)).toEqual(expected);
      },
    );
  }
});
