/**
 * @file Training on several ranks of this machine: seconds per step of computing and of waiting, memory per rank, and the
 * bytes that are sent, next to what docs/distributed.md says they are; and how efficient many machines would be, computed.
 * Usage: npm run build && npm run bench:ranks -- step | memory | expected
 * `step` compares one process of two threads with one and two ranks of one thread each; `memory` trains a model as large as
 * B for two steps on 4 ranks; `expected` prints the table of docs/distributed.md.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openModel } from '../src/checkpoints/load.ts';
import { paperConfig, type SizeName } from '../src/models/acdit/config.ts';
import { trainingCost } from '../src/models/acdit/cost.ts';
import { parameterCount } from '../src/models/acdit/weights.ts';
import type { RankReport } from '../src/training/team.ts';
import { idxBytes } from '../test/support/idx-files.ts';
import { BUILT_CLI, type Launcher, launchers, pidsOf, startRanks } from '../test/support/ranks.ts';
import { processor } from './processor.ts';

/** What is trained, and how. */
interface Setup {
  readonly model: { readonly layers: number; readonly hidden: number; readonly heads: number };
  readonly batch: number;
  readonly accumulate: number;
  readonly steps: number;
}

interface StepEvent {
  readonly kind: string;
  readonly ranks?: readonly RankReport[];
}

/** A process of its own, without ranks. */
const ALONE: Launcher = { name: 'no launcher', command: 'sh', args: ['-c', 'shift 2; exec "$@"', 'sh'] };
const SIDE = 32;
const BYTES = 4;

/** Writes random images and a recipe for them, and returns the recipe. */
function writeRun(folder: string, { model, ...training }: Setup): string {
  const count = 64;
  const pixels = Uint8Array.from({ length: count * SIDE ** 2 }, (_, i) => (i * 37 + (i >> 8) * 11) % 256);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  writeFileSync(join(folder, 'train-images-idx3-ubyte'), idxBytes([count, SIDE, SIDE], pixels));
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idxBytes([count], labels));
  const recipe = {
    model: { ...model, patch: 2, blocks: 4 },
    data: { path: folder },
    training: { ...training, learningRate: 1e-4, clip: 1, schedule: 'constant' },
    output: { folder: join(folder, 'run'), checkpointEvery: 100_000, logEvery: 1 },
  };
  const path = join(folder, 'recipe.json');
  writeFileSync(path, JSON.stringify(recipe));
  return path;
}

/** Trains, and prints what the steps but the first took. */
async function measure(launcher: Launcher, count: number, threads: number, setup: Setup): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'acdit-ranks-'));
  try {
    const train = ['train', writeRun(folder, setup), '--json', '--threads', String(threads)];
    const running = startRanks(launcher, count, [BUILT_CLI, ...train]);
    const times: number[] = [];
    running.child.stdout?.on('data', (chunk) => {
      const lines = String(chunk).match(/"kind":"step"/g) ?? [];
      for (const _ of lines) times.push(performance.now());
    });
    await running.printed(`{"kind":"step","step":${setup.steps},`);
    const peaks = (launcher === ALONE ? [running.child.pid!] : pidsOf(running)).map(peakMemory);
    const { code, stdout, stderr } = await running.result;
    if (code !== 0) throw new Error(stderr);
    const lines = stdout
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('{'));
    const steps = lines.map((line) => JSON.parse(line) as StepEvent).filter(({ kind }) => kind === 'step');
    const model = await openModel(join(folder, 'run'));
    const parameters = parameterCount(model.config);
    await model.archive.close();
    const perStep = (times.at(-1)! - times[0]!) / 1000 / (times.length - 1);
    print(
      `${launcher.name}, ${count} x ${threads} threads, ${(parameters / 1e6).toFixed(1)}M parameters`,
      perStep,
      peaks,
    );
    printRanks(steps.slice(1), parameters, setup);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Bytes that a process has had in memory at most. */
function peakMemory(pid: number): number {
  return 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function print(what: string, seconds: number, peaks: readonly number[]): void {
  const memory = peaks.map((peak) => (peak / 1e9).toFixed(2)).join(', ');
  console.log(`${what}: ${seconds.toFixed(2)} s per step, peak memory ${memory} GB`);
}

/** Prints means over the steps of what each rank did, and the bytes next to their formula. */
function printRanks(steps: readonly StepEvent[], parameters: number, { accumulate }: Setup): void {
  const ranks = steps[0]?.ranks ?? [];
  for (const { rank } of ranks) {
    const mean = (value: (report: RankReport) => number): number =>
      steps.reduce((sum, step) => sum + value(step.ranks![rank]!), 0) / steps.length;
    const rounds = mean(({ microBatches }) => microBatches);
    const predicted = ((rounds + 1) * BYTES * parameters * (ranks.length - 1)) / ranks.length;
    console.log(
      `  rank ${rank}: ${rounds} of ${accumulate} micro-batches, ${mean((r) => r.computeSeconds).toFixed(2)} s computing, ` +
        `${mean((r) => r.waitSeconds).toFixed(2)} s waiting, ${(mean((r) => r.bytesSent) / 1e6).toFixed(1)} MB sent ` +
        `(formula: ${(predicted / 1e6).toFixed(1)} MB)`,
    );
  }
  if (ranks.length < 2) return;
  const held = (perRank: number): string => ((BYTES * parameters * perRank) / 1e9).toFixed(2);
  const gradients = accumulate > ranks.length ? 2 : 1;
  console.log(
    `  state by the formula: ${held(1 + gradients + 4 / ranks.length)} GB per rank, ${held(6)} GB alone`,
  );
}

/** Speeds, and images per micro-batch: those of recipes/imagenet256-*.json on CPUs. */
const MACHINES = [
  { name: '2 cores, 0.15 TFLOP/s', speed: 0.15e12, batch: { B: 2, L: 1, XL: 1, H: 1 } },
  { name: '64 cores, 3 TFLOP/s', speed: 3e12, batch: { B: 2, L: 1, XL: 1, H: 1 } },
  { name: 'GPU, 40 TFLOP/s', speed: 40e12, batch: { B: 32, L: 32, XL: 32, H: 32 } },
] as const;
const IMAGES = 1024;
/** The recipes of these models compute activations again in the backward pass: a third more. */
const RECOMPUTED: readonly SizeName[] = ['XL', 'H'];
const LINK_SHARE = 0.9;

/** Seconds of a step on R ranks, as a share of what R times the speed of one would take; undefined without work for all. */
function efficiency(size: SizeName, machine: (typeof MACHINES)[number], gigabits: number, ranks: number) {
  const config = paperConfig(size, 'image');
  const batch = machine.batch[size];
  const microBatches = IMAGES / batch;
  if (ranks > microBatches) return undefined;
  const operations = 2 * trainingCost(config) * (RECOMPUTED.includes(size) ? 4 / 3 : 1);
  const compute = (batch * operations) / machine.speed;
  const bytes = (BYTES * parameterCount(config) * (ranks - 1)) / ranks;
  const send = bytes / ((LINK_SHARE * gigabits * 1e9) / 8);
  const rounds = Math.ceil(microBatches / ranks);
  const step = compute + (rounds - 1) * Math.max(compute, send) + 2 * send;
  return (microBatches * compute) / (ranks * step);
}

function printExpected(): void {
  const counts = [8, 32, 64];
  console.log(
    '| machine | model | 10 Gbit: 8 / 32 / 64 ranks | 100 Gbit: 8 / 32 / 64 ranks |\n| --- | --- | --- | --- |',
  );
  for (const machine of MACHINES) {
    for (const size of ['B', 'L', 'XL', 'H'] as const) {
      const shares = (gigabits: number): string =>
        counts
          .map((ranks) => efficiency(size, machine, gigabits, ranks))
          .map((share) => (share === undefined ? '-' : `${Math.floor(100 * share)}%`))
          .join(' / ');
      console.log(`| ${machine.name} | ${size} | ${shares(10)} | ${shares(100)} |`);
    }
  }
}

const [what = 'step'] = process.argv.slice(2);
if (what === 'expected') printExpected();
else if (what === 'memory') {
  console.log(processor());
  const model = { layers: 12, hidden: 768, heads: 12 };
  const setup = { model, batch: 1, accumulate: 8, steps: 2 };
  for (const launcher of launchers.slice(0, 1)) await measure(launcher, 4, 1, setup);
} else {
  console.log(processor());
  const setup = { model: { layers: 12, hidden: 384, heads: 6 }, batch: 4, accumulate: 4, steps: 6 };
  await measure(ALONE, 1, 2, setup);
  await measure(ALONE, 1, 1, setup);
  for (const launcher of launchers) await measure(launcher, 2, 1, setup);
}
