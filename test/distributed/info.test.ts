/** @file `acdit info --ranks`: who is there, and how fast they are connected. */

import { cpus, hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { machine } from '../../src/runtime/machine.ts';
import { expectBadInput, runInProcess } from '../support/cli.ts';
import { BUILT_CLI, launchers, runRanks } from '../support/ranks.ts';

describe('acdit info --ranks', { tags: ['slow'], timeout: 300_000 }, () => {
  it('needs a launcher', async () => {
    expectBadInput(
      await runInProcess(['info', '--ranks']),
      '--ranks tests the processes that mpirun or srun',
    );
  });

  it.each(launchers)(
    'lists the ranks and measures their connection ($name)',
    async ({ name, ...launcher }) => {
      const run = (...more: string[]) =>
        runRanks({ name, ...launcher }, 2, [BUILT_CLI, 'info', '--ranks', ...more]);
      const { code, stdout } = await run('--json');
      expect(code).toBe(0);
      const { library, ranks, latency, bandwidth } = JSON.parse(stdout);
      expect(library).toContain(name);
      expect(ranks).toEqual(
        [0, 1].map((rank) => ({
          rank,
          host: hostname(),
          cores: expect.any(Number),
          memory: machine().memory,
          processor: cpus()[0]!.model,
          alike: true,
        })),
      );
      expect(latency).toBeGreaterThan(0);
      expect(bandwidth).toBeGreaterThan(1e6);
      const lines = (await run()).stdout.trim().split('\n');
      const memory = `${(machine().memory / 1e9).toFixed(1)} GB`;
      expect(lines).toEqual([
        expect.stringMatching(new RegExp(`^2 ranks, ${name}`)),
        ...[0, 1].map((rank) => expect.stringMatching(new RegExp(`^${rank}  .* cores?  ${memory}  `))),
        expect.stringMatching(/^latency \d+ microseconds$/),
        expect.stringMatching(/^sums \d+\.\d\d GB\/s sent by each rank$/),
      ]);
    },
  );
});
