/** @file How trainings on several ranks end early: the line, the exit code, and what they leave. */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { runInProcess, spawnCli } from '../support/cli.ts';
import {
  BUILT_CLI,
  type Launcher,
  launchers,
  ownLines,
  pidsOf,
  runRanks,
  startRanks,
} from '../support/ranks.ts';
import { enlargeDisk, mountSmallDisk } from '../support/small-disk.ts';
import { tinyRun } from '../support/tiny-run.ts';

/** kB: enough for two states of the tiny model, and not for a third. */
const SMALL_DISK = 9000;
const LONG = { training: { steps: 100_000 } };

const states = (folder: string): string[] => readdirSync(join(folder, 'trainer')).sort();

/** Expects that a run can be resumed, which its last state must be whole for. */
async function expectResumable(
  train: (out: string, ...more: string[]) => string[],
  folder: string,
): Promise<void> {
  const last = Number(/\d+/.exec(states(join(folder, 'run')).at(-1)!)![0]);
  const { code, stdout } = await runInProcess(train('run', '--steps', String(last + 1)));
  expect(code).toBe(0);
  expect(stdout).toContain(`{"kind":"start","step":${last},`);
}

async function startLong(launcher: Launcher, count: number, ...more: string[]) {
  const { folder, train } = tinyRun(LONG);
  const running = startRanks(launcher, count, [BUILT_CLI, ...train('run', ...more)]);
  await running.printed('{"kind":"checkpoint","step":4');
  return { folder, train, running };
}

describe.skipIf(launchers.length === 0)(
  'a training on several ranks',
  { tags: ['slow'], timeout: 300_000 },
  () => {
    describe.each(launchers)('with $name', (launcher) => {
      it('ends within seconds when a rank is killed, and leaves its last state', async () => {
        const { folder, train, running } = await startLong(launcher, 3);
        const killed = performance.now();
        process.kill(pidsOf(running)[2]!, 'SIGKILL');
        const { code } = await running.result;
        expect((performance.now() - killed) / 1000).toBeLessThan(20);
        expect(code).not.toBe(0);
        await expectResumable(train, folder);
      });

      it.each(['SIGTERM', 'SIGUSR2'] as const)('saves and stops after %s to one rank', async (signal) => {
        const { folder, train, running } = await startLong(launcher, 2);
        process.kill(pidsOf(running)[1]!, signal);
        const { code, stdout, stderr } = await running.result;
        expect(ownLines(stderr)).toEqual([]);
        const { kind, step } = JSON.parse(stdout.trim().split('\n').at(-1)!);
        expect(kind).toBe('interrupted');
        expect(code).toBe(130);
        expect(states(join(folder, 'run')).at(-1)).toBe(`step-${String(step).padStart(8, '0')}.safetensors`);
        await expectResumable(train, folder);
      });

      it('reports a loss that is not a number once, and keeps the last state', async () => {
        const { folder, train } = tinyRun({
          training: { steps: 50, learningRate: 1e30, clip: 1e30 },
          output: { checkpointEvery: 1 },
        });
        const { code, stderr } = await runRanks(launcher, 2, [BUILT_CLI, ...train('run')]);
        expect(ownLines(stderr)).toEqual([
          expect.stringMatching(/^acdit: step \d+: the loss is .*the last checkpoint is untouched/),
        ]);
        expect(code).toBe(2);
        expect(states(join(folder, 'run')).length).toBeGreaterThan(0);
      });

      it('reports once that the disk is full when a checkpoint is written, and keeps the last state', async ({
        skip,
      }) => {
        const { folder, train } = tinyRun(LONG);
        const disk = join(folder, 'run', 'trainer');
        if (!mountSmallDisk(disk, SMALL_DISK)) return skip('no small disk can be mounted');
        const { code, stdout, stderr } = await runRanks(launcher, 2, [BUILT_CLI, ...train('run')]);
        expect(ownLines(stderr)).toEqual([
          expect.stringMatching(/^acdit: .*cannot write .*step-\d+.*: the disk is full; free some space/),
        ]);
        expect(code).toBe(2);
        expect(stdout).toContain('{"kind":"checkpoint"');
        enlargeDisk(disk, 16 * SMALL_DISK);
        await expectResumable(train, folder);
      });

      it('reports once that the library cannot be loaded', async () => {
        const { train } = tinyRun();
        const result = await runRanks(launcher, 2, [BUILT_CLI, ...train('run')], {
          ACDIT_MPI_LIBRARY: 'libnone.so',
        });
        expect(ownLines(result.stderr)).toEqual([
          expect.stringMatching(/no MPI library can be loaded: libnone\.so .*ACDIT_MPI_LIBRARY/),
        ]);
        expect(result.code).toBe(2);
      });

      it('reports a bad recipe once', async () => {
        const { train } = tinyRun({ training: { accumulate: 1 } });
        const { code, stderr } = await runRanks(launcher, 2, [BUILT_CLI, ...train('run')]);
        expect(ownLines(stderr)).toEqual([
          expect.stringMatching(/2 processes were started, but a step has 1 micro-batches/),
        ]);
        expect(code).toBe(2);
      });

      it('ends when a rank hangs', async () => {
        const { running } = await startLong(launcher, 2, '--mpi-timeout', '30');
        const [, hanging] = pidsOf(running);
        process.kill(hanging!, 'SIGSTOP');
        const { code, stderr } = await running.result;
        expect(ownLines(stderr)).toEqual([
          expect.stringMatching(/waited 30 seconds for the other ranks \(\w+\)/),
        ]);
        expect(code).not.toBe(0);
        try {
          process.kill(hanging!, 'SIGKILL');
        } catch {} // the launcher did
      });
    });

    it('saves and stops after SIGTERM to mpiexec of MPICH, and resumes after SIGUSR2 has ended it', async ({
      skip,
    }) => {
      const launcher = launchers.find(({ name }) => name === 'MPICH') ?? skip();
      for (const [signal, saves] of [
        ['SIGTERM', true],
        ['SIGUSR2', false],
      ] as const) {
        const { folder, train, running } = await startLong(launcher as Launcher, 2);
        const pids = pidsOf(running);
        running.child.kill(signal);
        const { code, stdout } = await running.result;
        // The launcher's own code after SIGTERM is sometimes 0: it may end before it has heard of its ranks' codes.
        if (saves) expect(stdout).toContain('"kind":"interrupted"');
        else expect(code).not.toBe(0);
        // A launcher that was killed does not wait for its ranks, and the run is theirs until they end.
        const left = () => pids.filter((pid) => existsSync(`/proc/${pid}`));
        await vi.waitFor(() => expect(left()).toEqual([]), { timeout: 60_000 });
        await expectResumable(train, folder);
      }
    });

    it('saves and stops after SIGUSR2 to mpirun, however long it takes', async ({ skip }) => {
      const launcher = launchers.find(({ name }) => name === 'Open MPI') ?? skip();
      const { folder, train, running } = await startLong(launcher as Launcher, 2);
      running.child.kill('SIGUSR2');
      const { code, stdout } = await running.result;
      expect(stdout).toContain('"kind":"interrupted"');
      expect(code).toBe(130);
      await expectResumable(train, folder);
    });

    it.skipIf(launchers.length < 2)(
      'refuses a library that does not belong to the launcher, in one line',
      async () => {
        const [openMpi, mpich] = launchers;
        const { train } = tinyRun();
        for (const [launcher, library] of [
          [openMpi, 'libmpich.so.12'],
          [mpich, 'libmpi.so.40'],
        ] as const) {
          const { code, stderr } = await runRanks(launcher!, 2, [BUILT_CLI, ...train('run')], {
            ACDIT_MPI_LIBRARY: library,
          });
          expect(ownLines(stderr)).toEqual([
            expect.stringMatching(/started 2 processes, but .* sees 1: they do not belong together/),
          ]);
          expect(code).toBe(2);
        }
      },
    );
  },
);

describe('a training that srun has started without MPI', () => {
  it('says how to start it', async () => {
    const { train } = tinyRun();
    const step = { SLURM_STEP_NUM_TASKS: '4', SLURM_PROCID: '0', SLURM_LOCALID: '0' };
    const saved = { ...process.env };
    Object.assign(process.env, step);
    try {
      const { code, stderr } = await spawnCli(train('run'));
      expect(ownLines(stderr)).toEqual([
        expect.stringMatching(/srun started 4 processes that cannot find each other; .*--mpi=pmix/),
      ]);
      expect(code).toBe(2);
    } finally {
      process.env = saved;
    }
  });
});
