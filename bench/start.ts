/**
 * @file Waiting times of a user: loading a model of full size, next to reading its file into memory; starting `acdit sample`,
 * and 16 images of the bundled model. Usage: npm run build && npm run bench:start -- [XL|H|...]
 * The full-size model is written to a temporary folder first and read back from the file cache. Reading and loading take
 * turns, each in a process of its own, as they do for a user.
 */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel, WEIGHTS_FILE, weightSource } from '../src/checkpoints/load.ts';
import { saveModel } from '../src/checkpoints/save.ts';
import { openFile } from '../src/io/file-source.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler } from '../src/sampling/sampler.ts';
import { formulaWeights, paperImageConfig } from '../test/support/formula-weights.ts';
import { median, time } from './matrix-speed.ts';

/** What a process of this benchmark times: its first argument, with the model's folder as its second. */
const TASKS: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  async read(folder) {
    const file = await openFile(join(folder, WEIGHTS_FILE));
    await file.read(0, file.size);
  },
  async load(folder) {
    const model = await openModel(folder);
    await createSampler({ config: model.config, weights: weightSource(model), device: openCpu() });
  },
};
/** Turns of reading and loading. */
const TURNS = 5;

const command = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** Runs a task in a process of its own. Returns the seconds that it reports. */
async function timed(task: string, folder: string): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), task, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (text) => {
    output += text;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${task} of ${folder} failed`);
  return Number(output) / 1000;
}

/** Prints how long a model of full size takes to load, and how long its file takes to read. */
async function compareLoading(size: 'B' | 'L' | 'XL' | 'H', folder: string): Promise<void> {
  const config = paperImageConfig(size);
  await saveModel(folder, config, formulaWeights(config));
  const [reading, loading]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    reading.push(await timed('read', folder));
    loading.push(await timed('load', folder));
  }
  console.log(
    `ACDiT-${size} from safetensors: ready to sample after ${median(loading).toFixed(2)} s; reading the file into memory ` +
      `takes ${median(reading).toFixed(2)} s, ratio ${(median(loading) / median(reading)).toFixed(2)}`,
  );
}

/** Seconds from starting `acdit sample` until it ends, and until it reports its first step. */
async function sampleCommand(count: number, folder: string): Promise<{ total: number; firstStep: number }> {
  const start = performance.now();
  const child = spawn(
    process.execPath,
    [command, 'sample', 'fashion-mnist', '--count', String(count), '--out', join(folder, 'out')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let firstStep = Number.NaN;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (Number.isNaN(firstStep) && /^sample \d/m.test(text)) firstStep = (performance.now() - start) / 1000;
  });
  await new Promise((resolve) => child.on('close', resolve));
  return { total: (performance.now() - start) / 1000, firstStep };
}

async function compareAll(size: 'B' | 'L' | 'XL' | 'H'): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'acdit-bench-'));
  try {
    await compareLoading(size, folder);
    for (let i = 0; i < 3; i++) {
      const { total, firstStep } = await sampleCommand(16, folder);
      console.log(
        `acdit sample, 16 images: ${total.toFixed(1)} s; first step reported after ${firstStep.toFixed(2)} s`,
      );
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const [argument = 'XL', folder = ''] = process.argv.slice(2);
const task = TASKS[argument];
if (task) {
  console.log(await time(() => task(folder)));
  process.exit();
} else await compareAll(argument as 'XL');
