/** @file `acdit train` on several ranks: the same files as alone, with every MPI library of this machine. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetrics } from '../../src/training/logging/jsonl.ts';
import { runInProcess } from '../support/cli.ts';
import { BUILT_CLI, launchers, ownLines, runRanks } from '../support/ranks.ts';
import { checksums, tinyRun } from '../support/tiny-run.ts';

const ACCUMULATE = 5;

const MODEL = 'model.safetensors';
const LAST = 'trainer/step-00000004.safetensors';
const RUN_FILES = ['config.json', MODEL, 'trainer/step-00000002.safetensors', LAST];

const files = (folder: string, names = RUN_FILES): string[] => checksums(folder, names);

interface StepEvent {
  kind: string;
  step: number;
  loss: number;
  gradientNorm: number;
  ranks?: { rank: number; microBatches: number; bytesSent: number }[];
}

function steps(stdout: string): StepEvent[] {
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as StepEvent);
  return events.filter(({ kind }) => kind === 'step');
}

const numbers = ({ step, loss, gradientNorm }: StepEvent) => ({ step, loss, gradientNorm });

describe.skipIf(launchers.length === 0)(
  'training on several ranks',
  { tags: ['slow'], timeout: 600_000 },
  () => {
    it('gives the files, losses and norms of one process, for any number of ranks and any library', async () => {
      const { folder, train } = tinyRun();
      const alone = await runInProcess(train('alone'));
      const expected = files(join(folder, 'alone'));
      for (const launcher of launchers) {
        for (const count of [2, 3]) {
          const out = `${launcher.command}-${count}`;
          const { stdout, stderr } = await runRanks(launcher, count, [BUILT_CLI, ...train(out)]);
          expect(stderr).toBe('');
          expect(steps(stdout).map(numbers)).toEqual(steps(alone.stdout).map(numbers));
          expect(files(join(folder, out))).toEqual(expected);
          // Each computes its own micro-batches only: number m is that of rank m mod R.
          for (const { ranks = [] } of steps(stdout)) {
            const own = (rank: number) =>
              Array.from({ length: ACCUMULATE }).filter((_, m) => m % count === rank);
            expect(ranks.map(({ microBatches }) => microBatches)).toEqual(
              ranks.map(({ rank }) => own(rank).length),
            );
            expect(ranks).toHaveLength(count);
          }
        }
      }
    });

    it.runIf(launchers.some(({ name }) => name === 'MPICH'))(
      'gives the same after 200 steps with garbage collected all the time (MPICH)',
      async () => {
        const { folder, train } = tinyRun({
          training: { steps: 200, accumulate: 2, batch: 1 },
          output: { checkpointEvery: 200, logEvery: 100 },
        });
        const mpich = launchers.find(({ name }) => name === 'MPICH')!;
        const { code, stderr } = await runRanks(mpich, 2, [
          '--gc-interval=2000',
          BUILT_CLI,
          ...train('soak'),
        ]);
        expect(stderr).toBe('');
        expect(code).toBe(0);
        await runInProcess(train('alone'));
        const state = ['trainer/step-00000200.safetensors'];
        expect(files(join(folder, 'soak'), state)).toEqual(files(join(folder, 'alone'), state));
      },
    );

    it('validates as one process does', async () => {
      const { folder, train } = tinyRun({ output: { checkpointEvery: 4, gradientNorms: true } });
      const validation = [
        '--validation.every',
        '2',
        '--validation.path',
        folder,
        '--validation.samples',
        '12',
      ];
      const lines = (out: string) =>
        readMetrics(join(folder, out, 'metrics.jsonl'))
          .filter(
            (line) => line['validation/ema/loss'] !== undefined || line['gradientNorm/mlp'] !== undefined,
          )
          .map(({ time: _, samplesPerSecond: _speed, productShare: _share, ...line }) => line);
      await runInProcess(train('alone', ...validation));
      expect(lines('alone').map(({ step }) => step)).toEqual([1, 2, 2, 3, 4, 4]);
      const { stderr } = await runRanks(launchers[0]!, 3, [BUILT_CLI, ...train('ranks', ...validation)]);
      expect(stderr).toBe('');
      expect(lines('ranks')).toEqual(lines('alone'));
      expect(files(join(folder, 'ranks'), [MODEL, LAST])).toEqual(
        files(join(folder, 'alone'), [MODEL, LAST]),
      );
    });

    it('refuses ranks that would not log the same norms', async () => {
      const { folder, train } = tinyRun({ training: { steps: 1 } });
      const program = join(folder, 'of-rank.mjs');
      writeFileSync(
        program,
        'const rank = process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMI_RANK;\n' +
          `process.argv.push('--output.gradientNorms', String(rank === '0'));\nawait import(${JSON.stringify(BUILT_CLI)});\n`,
      );
      const { code, stderr } = await runRanks(launchers[0]!, 2, [program, ...train('run')]);
      expect(ownLines(stderr)).toEqual([
        expect.stringMatching(/^acdit: the recipe of rank 1 on .*: all ranks must/),
      ]);
      expect(code).toBe(2);
    });

    it('finds one batch for all ranks, which the run keeps, and records the run once', async () => {
      const { folder, train } = tinyRun({ training: { batch: 'auto', memory: 100, steps: 1 } });
      const { code, stderr } = await runRanks(launchers[0]!, 2, [BUILT_CLI, ...train('run')]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { recipe, starts } = JSON.parse(readFileSync(join(folder, 'run', 'run.json'), 'utf8'));
      expect(recipe.training.batch).toBe(4); // of 20 samples in 5 micro-batches
      expect(starts).toMatchObject([{ step: 0, ranks: 2, data: { samples: 20 } }]);
      expect((await runInProcess(train('run', '--steps', '2'))).code).toBe(0);
      await runInProcess(train('alone', '--steps', '2', '--batch', '4'));
      expect(files(join(folder, 'run'), [MODEL])).toEqual(files(join(folder, 'alone'), [MODEL]));
      const small = await runRanks(launchers[0]!, 2, [
        BUILT_CLI,
        ...train('small', '--training.memory', '0.01'),
      ]);
      expect(small.stderr.match(/acdit: .*/g)).toEqual([expect.stringContaining('a batch of 1 needs about')]);
      expect(small.code).not.toBe(0);
    });

    it('resumes with fewer ranks, another library, and alone', async () => {
      const { folder, train } = tinyRun();
      const first = launchers[0]!;
      const last = launchers.at(-1)!;
      const part = (steps: number) => train('resumed', '--steps', String(steps));
      await runInProcess(train('alone'));
      expect((await runRanks(first, 3, [BUILT_CLI, ...part(1)])).code).toBe(0);
      expect((await runRanks(last, 2, [BUILT_CLI, ...part(3)])).code).toBe(0);
      expect((await runInProcess(part(4))).code).toBe(0);
      expect(files(join(folder, 'resumed'), [MODEL, LAST])).toEqual(
        files(join(folder, 'alone'), [MODEL, LAST]),
      );
    });
  },
);
