/** @file `acdit train` on several ranks: the same files as alone, with every MPI library of this machine. */

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runInProcess } from '../support/cli.ts';
import { idxBytes } from '../support/idx-files.ts';
import { BUILT_CLI, launchers, runRanks } from '../support/ranks.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const STEPS = 4;
const ACCUMULATE = 5;

/** Writes a recipe and its data, and returns arguments that train by it. */
function tinyRun() {
  const folder = temporaryFolder();
  const count = 20;
  const pixels = Uint8Array.from({ length: count * 64 }, (_, i) => (i * 37 + (i >> 6) * 11) % 256);
  writeFileSync(join(folder, 'train-images-idx3-ubyte'), idxBytes([count, 8, 8], pixels));
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idxBytes([count], labels));
  const recipe = join(folder, 'recipe.json');
  writeFileSync(
    recipe,
    JSON.stringify({
      model: { layers: 2, hidden: 96, heads: 2, patch: 2, blocks: 4 },
      data: { path: folder, flip: true },
      training: { steps: STEPS, batch: 2, accumulate: ACCUMULATE, learningRate: 0.001, clip: 0.5, seed: 5 },
      output: { folder: join(folder, 'run'), checkpointEvery: 2, logEvery: 1 },
    }),
  );
  const train = (out: string, ...more: string[]) => [
    'train',
    recipe,
    ...['--out', join(folder, out), '--threads', '1', '--json', ...more],
  ];
  return { folder, train };
}

const MODEL = 'model.safetensors';
const LAST = 'trainer/step-00000004.safetensors';
const RUN_FILES = ['config.json', MODEL, 'trainer/step-00000002.safetensors', LAST];

/** Checksums of a run's files. */
function files(folder: string, names = RUN_FILES): string[] {
  return names.map((name) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex'),
  );
}

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

    it('resumes with fewer ranks, another library, and alone', async () => {
      const { folder, train } = tinyRun();
      const first = launchers[0]!;
      const last = launchers.at(-1)!;
      const part = (steps: number) =>
        train('resumed', '--training.schedule', 'constant', '--steps', String(steps));
      await runInProcess(train('alone', '--training.schedule', 'constant'));
      expect((await runRanks(first, 3, [BUILT_CLI, ...part(1)])).code).toBe(0);
      expect((await runRanks(last, 2, [BUILT_CLI, ...part(3)])).code).toBe(0);
      expect((await runInProcess(part(4))).code).toBe(0);
      expect(files(join(folder, 'resumed'), [MODEL, LAST])).toEqual(
        files(join(folder, 'alone'), [MODEL, LAST]),
      );
    });
  },
);
