/** @file Trainings on two hosts that are connected by TCP: the same files as alone, and an end when the cable is cut. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runInProcess } from '../support/cli.ts';
import { BUILT_CLI, launchers, ownLines, runRanks, startRanks } from '../support/ranks.ts';
import { checksums, tinyRun } from '../support/tiny-run.ts';
import { canMakeHosts, makeHosts } from '../support/two-hosts.ts';

/** MPICH must not choose memory that only processes of one machine share. */
const TCP = { UCX_TLS: 'tcp,self' };
const FILES = ['config.json', 'model.safetensors', 'trainer/step-00000004.safetensors'];

describe.skipIf(launchers.length === 0 || !canMakeHosts())(
  'training on two hosts',
  { tags: ['slow'], timeout: 300_000 },
  () => {
    describe.each(launchers)('with $name', (launcher) => {
      it('gives the files of one process, and info --ranks lists both', async () => {
        const { across, names } = makeHosts();
        const { folder, train } = tinyRun();
        const run = (...args: string[]) => runRanks(across(launcher), 2, [BUILT_CLI, ...args], TCP);
        const trained = await run(...train('hosts'));
        expect(ownLines(trained.stderr)).toEqual([]);
        expect(trained.code).toBe(0);
        await runInProcess(train('alone'));
        expect(checksums(join(folder, 'hosts'), FILES)).toEqual(checksums(join(folder, 'alone'), FILES));
        const { stdout } = await run('info', '--ranks', '--json');
        const { ranks } = JSON.parse(stdout);
        expect(ranks.map(({ host }: { host: string }) => host)).toEqual(names);
      });

      it('ends when the hosts are cut off from each other, and resumes', async () => {
        const { across, cut, end } = makeHosts();
        const { folder, train } = tinyRun({ training: { steps: 100_000 } });
        const args = [BUILT_CLI, ...train('run', '--mpi-timeout', '30')];
        const running = startRanks(across(launcher), 2, args, TCP);
        await running.printed('{"kind":"checkpoint","step":4');
        cut();
        await running.printed('acdit: ', 'stderr');
        // The launcher cannot reach the other host either, and may wait for long after the ranks have ended.
        end();
        const { stderr } = await running.result;
        expect(ownLines(stderr)).toEqual([
          expect.stringMatching(
            /waited 30 seconds for the other ranks \(\w+\): one of them hangs or cannot be reached/,
          ),
        ]);
        const last = readdirSync(join(folder, 'run', 'trainer'))
          .sort()
          .at(-1)!;
        const step = Number(/\d+/.exec(last)![0]);
        const { code, stdout } = await runInProcess(train('run', '--steps', String(step + 1)));
        expect(code).toBe(0);
        expect(stdout).toContain(`{"kind":"start","step":${step},`);
      });
    });
  },
);
