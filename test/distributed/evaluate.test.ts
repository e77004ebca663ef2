/** @file `acdit evaluate` on several ranks: the same metrics and features as alone. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runInProcess } from '../support/cli.ts';
import { writePictureFolder } from '../support/picture-folder.ts';
import { BUILT_CLI, launchers, ownLines, runRanks } from '../support/ranks.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

describe.skipIf(launchers.length === 0)(
  'evaluating on several ranks',
  { tags: ['slow'], timeout: 600_000 },
  () => {
    it('gives the metrics and the features of one process, also with more ranks than batches', async () => {
      const folder = temporaryFolder();
      const reference = await writePictureFolder(join(folder, 'reference'), 40, 28);
      const samples = await writePictureFolder(join(folder, 'samples'), 30, 28);
      const args = (name: string): string[] => {
        const kept = [
          '--save-features',
          join(folder, `${name}.npz`),
          '--save-reference',
          join(folder, `${name}-r.npz`),
        ];
        return [
          'evaluate',
          reference,
          samples,
          '--network',
          'fashion-mnist',
          '--threads',
          '1',
          '--json',
          ...kept,
        ];
      };
      const alone = await runInProcess(args('alone'));
      expect(alone.code).toBe(0);
      for (const launcher of launchers) {
        for (const count of [2, 3]) {
          const name = `${launcher.command}-${count}`;
          const { code, stdout, stderr } = await runRanks(launcher, count, [BUILT_CLI, ...args(name)]);
          expect(ownLines(stderr)).toEqual([]);
          expect(code).toBe(0);
          expect(JSON.parse(stdout)).toEqual(JSON.parse(alone.stdout));
          for (const end of ['', '-r']) {
            const file = (stem: string) => readFileSync(join(folder, `${stem}${end}.npz`));
            expect(file(name).equals(file('alone'))).toBe(true);
          }
        }
      }
    });

    it('reports once that a set is missing', async () => {
      const folder = temporaryFolder();
      const set = await writePictureFolder(join(folder, 'set'), 2, 28);
      const args = ['evaluate', set, join(folder, 'none'), '--network', 'fashion-mnist'];
      for (const launcher of launchers) {
        const { code, stderr } = await runRanks(launcher, 2, [BUILT_CLI, ...args]);
        expect(ownLines(stderr)).toEqual([expect.stringMatching(/none: there is no such file/)]);
        expect(code).toBe(2);
      }
    });
  },
);
