/** @file `acdit sample --npz` on several ranks: the same file as alone. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runInProcess } from '../support/cli.ts';
import { BUILT_CLI, launchers, runRanks } from '../support/ranks.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

describe.skipIf(launchers.length === 0)(
  'sampling on several ranks',
  { tags: ['slow'], timeout: 600_000 },
  () => {
    // The second has more ranks than batches, and the last batch of the first is smaller.
    it.each([
      { count: 5, ranks: 2 },
      { count: 3, ranks: 3 },
    ])('gives the file of one process: $count samples on $ranks ranks', async ({ count, ranks }) => {
      const folder = temporaryFolder();
      const args = [
        'sample',
        '--count',
        String(count),
        '--batch',
        '2',
        '--steps',
        '1',
        '--threads',
        '1',
        '--npz',
      ];
      const alone = join(folder, 'alone.npz');
      expect((await runInProcess([...args, alone])).code).toBe(0);
      for (const launcher of launchers) {
        const file = join(folder, `${launcher.command}.npz`);
        const { code, stdout } = await runRanks(launcher, ranks, [BUILT_CLI, ...args, file, '--json']);
        expect(code).toBe(0);
        expect(JSON.parse(stdout)).toMatchObject({ made: count, done: true });
        expect(readFileSync(file).equals(readFileSync(alone))).toBe(true);
      }
    });

    it('refuses what is not divided among ranks', async () => {
      const result = await runRanks(launchers[0]!, 2, [BUILT_CLI, 'sample', '--steps', '1']);
      expect(result.code).toBe(2);
      expect(result.stderr).toMatch(
        /acdit: 2 processes were started, and only --npz divides the samples among them/,
      );
    });
  },
);
